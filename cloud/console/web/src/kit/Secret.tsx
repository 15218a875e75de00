import { Button, Group } from '@mantine/core';
import { useState } from 'react';
import { api, take } from '../api/client';
import { CopyText } from './CopyText';
import { useAct } from './data';
import { dictionary } from './i18n';

const words = dictionary({
  en: { show: 'Show', hide: 'Hide', hidden: 'hidden' },
  zh: { show: '显示', hide: '隐藏', hidden: '已隐藏' },
});

/** Secret is a value that the hub tells when it is asked for, which the audit log then has. */
export function Secret({ reveal }: { reveal: () => Promise<string> }) {
  const t = words.use();
  const [value, setValue] = useState('');
  const ask = useAct(reveal);
  const toggle = () => (value ? setValue('') : ask.mutate(undefined, { onSuccess: setValue }));
  return (
    <Group gap="xs">
      {value ? <CopyText value={value} /> : <span aria-label={t.hidden}>{'••••••••••••'}</span>}
      <Button size="compact-xs" variant="default" loading={ask.isPending} onClick={toggle}>
        {value ? t.hide : t.show}
      </Button>
    </Group>
  );
}

/** deviceSecret asks for the secret of a device. */
export async function deviceSecret(device: { productSN: string; deviceSN: string }): Promise<string> {
  const { productSN, deviceSN } = device;
  const told = await take(api.POST('/v1/products/{productSN}/devices/{deviceSN}/reveal', { params: { path: { productSN, deviceSN } } }));
  return told.deviceSecret ?? '';
}

/** productSecret asks for the secret of a product. */
export async function productSecret(productSN: string): Promise<string> {
  const told = await take(api.POST('/v1/products/{productSN}/reveal', { params: { path: { productSN } } }));
  return told.productSecret ?? '';
}
