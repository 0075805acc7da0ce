/* Stand-in of the dgctl lab, built by the real DKMS: has the real module's name, ids and /proc file, drives no hardware. */
#include <linux/module.h>
#include <linux/pci.h>
#include <linux/proc_fs.h>
#include <linux/seq_file.h>

static const struct pci_device_id gpus[] = {
	{ .vendor = 0x10de, .device = PCI_ANY_ID, .subvendor = PCI_ANY_ID, .subdevice = PCI_ANY_ID,
	  .class = PCI_CLASS_DISPLAY_3D << 8, .class_mask = ~0 },
	{ }
};
MODULE_DEVICE_TABLE(pci, gpus);

int nvidia_stand_in(void);

int nvidia_stand_in(void)
{
	return 0;
}
EXPORT_SYMBOL(nvidia_stand_in);

static int version_show(struct seq_file *file, void *unused)
{
	seq_puts(file, "NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  " NV_VERSION "  Release Build  (simulated)\n");
	return 0;
}

static int __init start(void)
{
	if (!proc_mkdir("driver/nvidia", NULL))
		return -ENOMEM;
	return proc_create_single("driver/nvidia/version", 0444, NULL, version_show) ? 0 : -ENOMEM;
}

static void __exit stop(void)
{
	remove_proc_subtree("driver/nvidia", NULL);
}

module_init(start);
module_exit(stop);
MODULE_LICENSE("Dual MIT/GPL");
MODULE_VERSION(NV_VERSION);
MODULE_DESCRIPTION("Stand-in of the dgctl lab");
