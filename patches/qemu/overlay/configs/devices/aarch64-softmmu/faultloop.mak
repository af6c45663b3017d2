# SPDX-License-Identifier: GPL-2.0-or-later
#
# The "virt" machine with an SMMUv3, and the few devices a faultloop guest uses
# (for --without-default-devices --with-devices-aarch64=faultloop).
CONFIG_ARM_VIRT=y
CONFIG_PCI_DEVICES=n
CONFIG_TEST_DEVICES=n
CONFIG_PCIE_PORT=y
CONFIG_PXB=n
CONFIG_VIRTIO_PCI=y
CONFIG_VIRTIO_NET=y
CONFIG_VIRTIO_BLK=y
CONFIG_VIRTIO_RNG=y
CONFIG_VIRTIO_SERIAL=y
CONFIG_PVPANIC_PCI=y
CONFIG_EDU=y
CONFIG_SVA_TESTDEV=y
