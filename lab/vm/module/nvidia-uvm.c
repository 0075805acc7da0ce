/* Stand-in of the dgctl lab: a module that holds nvidia, as the real one does. */
#include <linux/module.h>

int nvidia_stand_in(void);

static int __init start(void)
{
	return nvidia_stand_in();
}

static void __exit stop(void)
{
}

module_init(start);
module_exit(stop);
MODULE_LICENSE("Dual MIT/GPL");
MODULE_VERSION(NV_VERSION);
MODULE_DESCRIPTION("Stand-in of the dgctl lab");
