// SPDX-License-Identifier: GPL-2.0-only
/*
 * sva-testdev: lets a process have a PCI device read and write its memory, by
 * its own addresses, and look at what the SMMU and the page table hold. Here: how
 * the device comes and goes.
 */
#include <linux/dma-mapping.h>
#include <linux/idr.h>
#include <linux/io-64-nonatomic-lo-hi.h>
#include <linux/module.h>
#include <linux/slab.h>

#include "compat.h"
#include "driver.h"

static DEFINE_IDA(td_ida);

static int td_map(struct td_device *td)
{
	struct pci_dev *pdev = td->pdev;
	int ret = pcim_enable_device(pdev);

	if (ret)
		return ret;
	ret = dma_set_mask_and_coherent(&pdev->dev, DMA_BIT_MASK(64));
	if (ret)
		return ret;
	td->regs = pcim_iomap(pdev, 0, 0);
	if (!td->regs)
		return -ENOMEM;
	if (readl(td->regs + TD_MAGIC) != TD_MAGIC_VALUE)
		return dev_err_probe(&pdev->dev, -ENODEV,
				     "not an sva-testdev: magic %#x\n",
				     readl(td->regs + TD_MAGIC));
	if (readl(td->regs + TD_VERSION) != TD_VERSION_VALUE)
		return dev_err_probe(&pdev->dev, -ENODEV,
				     "device of version %u, driver for %u\n",
				     readl(td->regs + TD_VERSION),
				     TD_VERSION_VALUE);
	pci_set_master(pdev);
	return 0;
}

static struct td_device *td_alloc(struct pci_dev *pdev)
{
	struct td_device *td = kzalloc(sizeof(*td), GFP_KERNEL);

	if (!td)
		return NULL;
	kref_init(&td->ref);
	td->pdev = pci_dev_get(pdev);
	mutex_init(&td->lock);
	mutex_init(&td->probe_lock);
	INIT_LIST_HEAD(&td->contexts);
	spin_lock_init(&td->engines_lock);
	init_waitqueue_head(&td->engine_free);
	return td;
}

/* /dev/sva_testdev, and sva_testdev1 and so on for the devices after the first. */
static int td_register(struct td_device *td)
{
	int id = ida_alloc(&td_ida, GFP_KERNEL), ret;

	if (id < 0)
		return id;
	td->id = id;
	td->misc.name = id ? kasprintf(GFP_KERNEL, KBUILD_MODNAME "%d", id) :
			     kstrdup(KBUILD_MODNAME, GFP_KERNEL);
	td->misc.minor = MISC_DYNAMIC_MINOR;
	td->misc.fops = &td_fops;
	td->misc.parent = &td->pdev->dev;
	ret = td->misc.name ? misc_register(&td->misc) : -ENOMEM;
	if (ret)
		ida_free(&td_ida, id);
	return ret;
}

static int td_probe(struct pci_dev *pdev, const struct pci_device_id *id)
{
	struct td_device *td = td_alloc(pdev);
	int ret;

	if (!td)
		return -ENOMEM;
	ret = td_map(td);
	if (ret)
		goto put;
	if (!td_sva_possible(pdev)) {
		ret = -ENODEV;
		goto clear_master;
	}
	ret = td_enable_sva(&pdev->dev);
	if (ret) {
		td_explain_no_sva(pdev, ret);
		goto clear_master;
	}
	ret = td_engines_init(td);
	if (ret)
		goto disable;
	pci_set_drvdata(pdev, td);
	ret = td_register(td);
	if (ret)
		goto engines;
	pci_info(pdev, "%u engines\n", td->nr_engines);
	td_show_machine(pdev);
	return 0;

engines:
	td_engines_exit(td);
disable:
	td_disable_sva(&pdev->dev);
clear_master:
	pci_clear_master(pdev);
put:
	kref_put(&td->ref, td_release);
	return ret;
}

/* Files may stay open: every use of them fails from here on. */
static void td_remove(struct pci_dev *pdev)
{
	struct td_device *td = pci_get_drvdata(pdev);
	struct td_context *ctx;

	misc_deregister(&td->misc);
	ida_free(&td_ida, td->id);
	mutex_lock(&td->lock);
	WRITE_ONCE(td->gone, true);
	list_for_each_entry(ctx, &td->contexts, node)
		td_context_unbind(ctx);
	mutex_unlock(&td->lock);
	writel(1, td->regs + TD_RESET);
	td_engines_exit(td);
	td_disable_sva(&pdev->dev);
	pci_clear_master(pdev);
	kref_put(&td->ref, td_release);
}

/* No DMA into the memory of the next kernel. */
static void td_shutdown(struct pci_dev *pdev)
{
	struct td_device *td = pci_get_drvdata(pdev);

	writel(1, td->regs + TD_RESET);
	pci_clear_master(pdev);
}

static const struct pci_device_id td_ids[] = {
	{ PCI_DEVICE(PCI_VENDOR_ID_HUAWEI, 0xa250) },
	{ }
};
MODULE_DEVICE_TABLE(pci, td_ids);

static struct pci_driver td_driver = {
	.name		= KBUILD_MODNAME,
	.id_table	= td_ids,
	.probe		= td_probe,
	.remove		= td_remove,
	.shutdown	= td_shutdown,
};
module_pci_driver(td_driver);

MODULE_DESCRIPTION("Test device for shared virtual addressing");
MODULE_LICENSE("GPL");
