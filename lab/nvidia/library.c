/* Simulated driver library of the dgctl lab: it loads, and libcuda's first calls answer as they do on a server. */
#include <fcntl.h>
#include <unistd.h>

const char simulated_version_text[] = VERSION;
const char *simulated_version = simulated_version_text;

#define CUDA_SUCCESS 0
#define CUDA_ERROR_NO_DEVICE 100
#define CUDA_ERROR_SYSTEM_NOT_READY 802
#define STATE "/run/simulated-kernel/nvidia/"

static int opens(const char *path)
{
    int file = open(path, O_RDONLY | O_CLOEXEC);
    if (file >= 0)
        close(file);
    return file >= 0;
}

int cuInit(unsigned int flags)
{
    if (!opens("/dev/nvidiactl") || !opens(STATE "gpus.json"))
        return CUDA_ERROR_NO_DEVICE;
    /* NVSwitch boards wait for Fabric Manager. */
    return opens(STATE "fabric-needed") && !opens(STATE "fabric") ? CUDA_ERROR_SYSTEM_NOT_READY : CUDA_SUCCESS;
}

int cuDeviceGetCount(int *count)
{
    char node[] = "/dev/nvidia0";
    for (*count = 0; node[sizeof node - 2] <= '9'; node[sizeof node - 2]++)
        *count += opens(node);
    return CUDA_SUCCESS;
}
