#!/bin/sh
# Simulated: starts and stops Fabric Manager, and NVLSM before it where NVLink 5 switches are managed.
config=${FM_CONFIG_FILE:-/usr/share/nvidia/nvswitch/fabricmanager.cfg}
pid=${FM_PID_FILE:-/var/run/nvidia-fabricmanager/nv-fabricmanager.pid}
manager=/opt/nvidia/nvlsm/sbin/nvlsm nvlsm_pid=/var/run/nvidia-fabricmanager/nvlsm.pid
if [ "$1 $2" = "--mode stop" ]; then
    for one in "$pid" "$nvlsm_pid"; do [ ! -e "$one" ] || kill "$(cat "$one")"; rm -f "$one"; done
    exit 0
fi
if grep -qs SW_MNG /sys/class/infiniband/*/device/vpd; then
    echo "Detected NVL5+ system"
    if [ ! -d /sys/module/ib_umad ]; then
        echo "The kernel module ib_umad is not loaded: the NVLink switches cannot be reached."
        exit 1
    fi
    if [ ! -x $manager ]; then
        echo "$manager: not found. NVLSM is needed on NVL5+ systems."
        exit 1
    fi
    mkdir -p "${nvlsm_pid%/*}"
    $manager -F /usr/share/nvidia/nvlsm/nvlsm.conf --pid_file "$nvlsm_pid" || exit 1
else
    echo "Detected Pre-NVL5 system"
fi
/usr/bin/nv-fabricmanager -c "$config"
code=$?
if [ $code != 0 ]; then
    echo "\"/usr/bin/nv-fabricmanager -c $config\" failed! Exit code: $code"
    exit $code
fi
echo 'Started "Nvidia Fabric Manager"'
