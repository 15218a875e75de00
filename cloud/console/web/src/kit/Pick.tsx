import { Autocomplete, Select } from '@mantine/core';
import { useDebouncedValue } from '@mantine/hooks';
import { useState } from 'react';
import { api, take } from '../api/client';
import { useRead } from './data';
import { useProducts } from './products';
import { words } from './text';

interface PickProps {
  value: string;
  onChange: (value: string) => void;
  label?: string;
  required?: boolean;
  w?: number | string;
}

/** ProductPick chooses a product of the project. */
export function ProductPick({ value, onChange, label, required, w = 200 }: PickProps) {
  const t = words.use();
  const products = useProducts();
  return (
    <Select
      label={label ?? t.product}
      placeholder={required ? undefined : t.any}
      withAsterisk={required}
      data={products.map((p) => ({ value: p.productSN, label: p.name || p.productSN }))}
      value={value || null}
      onChange={(v) => onChange(v ?? '')}
      clearable={!required}
      searchable
      w={w}
    />
  );
}

/** DevicePick is the serial number of a device of a product; the hub is asked which begin with what is typed. */
export function DevicePick({ product, value, onChange, label, required, w = 200, onChosen }: PickProps & { product: string; onChosen?: (value: string) => void }) {
  const t = words.use();
  const [typed] = useDebouncedValue(value, 250);
  const term = typed.replace(/["\\]/g, '');
  const filter = `product:${product}${term ? ` sn:"${term}"*` : ''}`;
  const found = useRead(['devices', 'pick', product, term], (signal) => take(api.GET('/v1/devices', { params: { query: { filter, limit: 20, sort: 'sn' } }, signal })), product !== '');
  return (
    <Autocomplete
      label={label ?? t.device}
      placeholder={required ? t.deviceSearch : t.any}
      withAsterisk={required}
      disabled={product === ''}
      data={(found.data?.items ?? []).map((d) => d.deviceSN)}
      filter={({ options }) => options}
      value={value}
      onChange={onChange}
      onOptionSubmit={onChosen}
      onBlur={() => onChosen?.(value)}
      onKeyDown={(e) => e.key === 'Enter' && onChosen?.(value)}
      spellCheck={false}
      w={w}
    />
  );
}

/** DeviceChoice is a DevicePick that tells of a device when it is chosen or typed to the end, not of each letter. */
export function DeviceChoice({ value, onChange, ...rest }: PickProps & { product: string }) {
  const [typed, setTyped] = useState(value);
  return <DevicePick {...rest} value={typed} onChange={setTyped} onChosen={(v) => v !== value && onChange(v)} />;
}
