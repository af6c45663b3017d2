/*
 * ARM SMMUv3: the IOTLB audit as a QOM property
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Each read of "audit" makes one, and gives a list of all differences.
 */

#include "qemu/osdep.h"
#include "qapi/error.h"
#include "qapi/visitor.h"
#include "smmuv3-sva-internal.h"

static const char *const audit_kinds[] = {
    [IOTLB_RESTRICTIVE] = "restrictive",
    [IOTLB_PERMISSIVE] = "permissive",
    [IOTLB_WRONG_PAGE] = "wrong-page",
    [IOTLB_UNMAPPED] = "unmapped",
};

static const char *const audit_ends[] = {
    [IOTLB_WALK_OK] = "ok",
    [IOTLB_WALK_TRANSLATION] = "translation",
    [IOTLB_WALK_ADDRESS_SIZE] = "address-size",
    [IOTLB_WALK_ABORT] = "external-abort",
    [IOTLB_WALK_STAGE_2] = "stage-2",
    [IOTLB_WALK_NO_TABLE] = "no-table",
};

static bool visit_text(Visitor *v, const char *name, const char *text,
                       Error **errp)
{
    return visit_type_str(v, name, (char **)&text, errp);
}

static bool visit_number(Visitor *v, const char *name, uint64_t n, Error **errp)
{
    return visit_type_uint64(v, name, &n, errp);
}

static bool visit_flag(Visitor *v, const char *name, bool flag, Error **errp)
{
    return visit_type_bool(v, name, &flag, errp);
}

static bool visit_side(Visitor *v, const char *name, const IOTLBSide *side,
                       Error **errp)
{
    bool ok;

    if (!visit_start_struct(v, name, NULL, 0, errp)) {
        return false;
    }
    ok = visit_flag(v, "read", side->readable, errp) &&
         visit_flag(v, "write", side->writable, errp) &&
         visit_number(v, "level", side->level, errp) &&
         visit_number(v, "descriptor", side->descriptor, errp) &&
         visit_number(v, "address", side->address, errp) &&
         visit_check_struct(v, errp);
    visit_end_struct(v, NULL);
    return ok;
}

static bool visit_diff(Visitor *v, const IOTLBDiff *d, Error **errp)
{
    bool ok;

    if (!visit_start_struct(v, NULL, NULL, 0, errp)) {
        return false;
    }
    ok = visit_text(v, "kind", audit_kinds[d->kind], errp) &&
         visit_number(v, "stream", d->sid, errp) &&
         (d->pasid == PCI_NO_PASID ||
          visit_number(v, "substream", d->pasid, errp)) &&
         (d->asid < 0 || visit_number(v, "asid", d->asid, errp)) &&
         (d->vmid < 0 || visit_number(v, "vmid", d->vmid, errp)) &&
         visit_number(v, "address", d->iova, errp) &&
         visit_number(v, "size", d->size, errp) &&
         visit_number(v, "granule", 1ULL << d->granule, errp) &&
         visit_text(v, "walk", audit_ends[d->end], errp) &&
         visit_side(v, "cached", &d->cached, errp) &&
         visit_side(v, "walked", &d->walked, errp) &&
         visit_check_struct(v, errp);
    visit_end_struct(v, NULL);
    return ok;
}

static void smmuv3_get_audit(Object *obj, Visitor *v, const char *name,
                             void *opaque, Error **errp)
{
    g_autoptr(GArray) diffs = g_array_new(false, false, sizeof(IOTLBDiff));
    IOTLBAudit audit = { .diffs = diffs, .max_diffs = UINT32_MAX };

    smmuv3_audit(ARM_SMMUV3(obj), &audit);
    if (audit.incomplete) {
        error_setg(errp, "The blocks that the IOTLB holds are mapped in more"
                   " than %d pieces by now", AUDIT_MAX_PIECES);
        return;
    }
    if (!visit_start_list(v, name, NULL, 0, errp)) {
        return;
    }
    for (guint i = 0; i < diffs->len; i++) {
        if (!visit_diff(v, &g_array_index(diffs, IOTLBDiff, i), errp)) {
            break;
        }
    }
    visit_end_list(v, NULL);
}

void smmuv3_audit_class_init(ObjectClass *klass)
{
    object_class_property_add(klass, "audit", "list", smmuv3_get_audit, NULL,
                              NULL, NULL);
    object_class_property_set_description(klass, "audit",
        "What the IOTLB holds that the translation tables do not say");
}
