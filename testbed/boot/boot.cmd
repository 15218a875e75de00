# The boot script of the test machine: RAUC's variables in two copies of an environment of 8 KiB with a flag (docs/formats/bootenv.md), at the
# sectors 0x100 and 0x110. Debian's U-Boot for qemu is built for one copy without a flag, so the script does what CONFIG_SYS_REDUNDAND_ENVIRONMENT does.

# sum: does the checksum of the copy at ${at} (data at ${data}) fit? U-Boot stores it big-endian, and the copy has it little-endian.
setenv sum 'crc32 ${data} 0x1ffb 0x50020000 && cp.b 0x50020003 0x50020010 1 && cp.b 0x50020002 0x50020011 1 && cp.b 0x50020001 0x50020012 1 && cp.b 0x50020000 0x50020013 1'
setenv use 0
virtio dev 0
virtio read 0x50000000 0x100 0x10
virtio read 0x50010000 0x110 0x10
setenv data 0x50000005
run sum
if cmp.b 0x50020010 0x50000000 4; then setenv use 1; setexpr.b flag *0x50000004; fi
setenv data 0x50010005
run sum
if cmp.b 0x50020010 0x50010000 4; then
  setexpr.b flag2 *0x50010004
  if test ${use} = 0; then setenv use 2
  elif test ${flag} = ff && test ${flag2} = 0; then setenv use 2
  elif test ${flag} = 0 && test ${flag2} = ff; then true
  elif test 0x${flag2} -gt 0x${flag}; then setenv use 2
  fi
  if test ${use} = 2; then setenv flag ${flag2}; fi
fi
if test ${use} = 1; then env import -b 0x50000005 0x1ffb; fi
if test ${use} = 2; then env import -b 0x50010005 0x1ffb; fi
if test ${use} = 0; then echo "BOOT no environment"; reset; fi
echo "BOOT copy ${use} flag ${flag} order ${BOOT_ORDER} left A ${BOOT_A_LEFT} B ${BOOT_B_LEFT}"

setenv slot none
for s in ${BOOT_ORDER}; do
  if test ${slot} = none && test ${s} = A && test 0x${BOOT_A_LEFT} -gt 0; then
    setenv slot A; setenv start 0x@A@; setexpr BOOT_A_LEFT ${BOOT_A_LEFT} - 1
  fi
  if test ${slot} = none && test ${s} = B && test 0x${BOOT_B_LEFT} -gt 0; then
    setenv slot B; setenv start 0x@B@; setexpr BOOT_B_LEFT ${BOOT_B_LEFT} - 1
  fi
done
if test ${slot} = none; then echo "BOOT no slot"; poweroff; fi

# Counted down before the slot is started, in the copy that does not count.
setexpr.b flag 0x${flag} + 1
if test ${use} = 1; then setenv at 0x50010000; setenv data 0x50010005; setenv sector 0x110; mw.b 0x50010004 ${flag}
else setenv at 0x50000000; setenv data 0x50000005; setenv sector 0x100; mw.b 0x50000004 ${flag}; fi
env export -b -s 0x1ffb ${data} BOOT_ORDER BOOT_A_LEFT BOOT_B_LEFT
run sum
cp.b 0x50020010 ${at} 4
virtio write ${at} ${sector} 0x10

echo "BOOT slot ${slot}"
load virtio 0:1 ${kernel_addr_r} /vmlinuz
virtio read ${ramdisk_addr_r} ${start} 0x@SECTORS@
setenv bootargs console=ttyAMA0 loglevel=1 panic=1 rauc.slot=${slot}
booti ${kernel_addr_r} ${ramdisk_addr_r}:0x@BYTES@ ${fdtcontroladdr}
echo "BOOT the kernel did not start"
reset
