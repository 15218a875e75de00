import { Group, Stack } from '@mantine/core';
import type { Schemas } from '../../api/client';
import { Live, Log } from '../logs/LogList';

/** The log of one device is the page of the log, without the choice of a device. */
export default function DeviceLog({ device }: { device: Schemas['Device'] }) {
  return (
    <Stack gap="sm">
      <Group justify="flex-end">
        <Live />
      </Group>
      <Log of={{ product: device.productSN, device: device.deviceSN }} />
    </Stack>
  );
}
