import { Button, Checkbox, Group, Menu, Modal, Stack, TextInput } from '@mantine/core';
import { useState } from 'react';
import { useLocation } from 'wouter';
import { api, take, type Schemas } from '../../api/client';
import { useSession } from '../../app/session';
import { ConfirmDialog } from '../../kit/ConfirmDialog';
import { useAct } from '../../kit/data';
import { Icon } from '../../kit/icons';
import { words as kitWords } from '../../kit/text';
import { words } from './text';

type Device = Schemas['Device'];
type Asked = 'disable' | 'reset' | 'remove' | 'edit' | null;

/** DeviceActions is what can be done with a device as a whole. */
export function DeviceActions({ device }: { device: Device }) {
  const t = words.use();
  const { may } = useSession();
  const [asked, setAsked] = useState<Asked>(null);
  const [secret, setSecret] = useState(false);
  const [, go] = useLocation();
  const params = { path: { productSN: device.productSN, deviceSN: device.deviceSN } };
  const keys = [['device', device.productSN, device.deviceSN], ['devices']];
  const done = () => setAsked(null);
  const enable = useAct(() => take(api.POST('/v1/products/{productSN}/devices/{deviceSN}/enable', { params })), { keys, done: t.enabled });
  const disable = useAct(() => take(api.POST('/v1/products/{productSN}/devices/{deviceSN}/disable', { params })), { keys, done: t.disabledDone });
  const reset = useAct(() => take(api.POST('/v1/products/{productSN}/devices/{deviceSN}/reset', { params, body: { resetSecret: secret } })), { keys, done: t.resetDone });
  const remove = useAct(() => take(api.DELETE('/v1/products/{productSN}/devices/{deviceSN}', { params })), { keys: [['devices']], done: t.removed });
  if (!may('device.write', device.productSN)) return null;
  return (
    <>
      <Button variant="default" leftSection={<Icon name="edit" />} onClick={() => setAsked('edit')}>
        {t.edit}
      </Button>
      <Actions disabled={device.state === 'disabled'} enable={() => enable.mutate(undefined)} ask={setAsked} />
      {asked === 'edit' && <EditDevice device={device} onClose={done} />}
      <ConfirmDialog opened={asked === 'disable'} onClose={done} title={t.disable} action={t.disable} busy={disable.isPending} onConfirm={() => disable.mutate(undefined, { onSettled: done })}>
        {t.disableSure(device.deviceSN)}
      </ConfirmDialog>
      <ConfirmDialog opened={asked === 'reset'} onClose={done} title={t.reset} action={t.reset} busy={reset.isPending} onConfirm={() => reset.mutate(undefined, { onSettled: done })}>
        <Stack>
          <span>{t.resetSure(device.deviceSN)}</span>
          <Checkbox label={t.newSecret} checked={secret} onChange={(e) => setSecret(e.currentTarget.checked)} />
        </Stack>
      </ConfirmDialog>
      <ConfirmDialog
        opened={asked === 'remove'}
        onClose={done}
        title={t.remove}
        action={t.remove}
        name={device.deviceSN}
        busy={remove.isPending}
        onConfirm={() => remove.mutate(undefined, { onSuccess: () => go('/devices'), onError: done })}
      >
        {t.removeSure(device.deviceSN)}
      </ConfirmDialog>
    </>
  );
}

function Actions({ disabled, enable, ask }: { disabled: boolean; enable: () => void; ask: (what: Asked) => void }) {
  const t = words.use();
  const kit = kitWords.use();
  return (
    <Menu position="bottom-end">
      <Menu.Target>
        <Button variant="default" rightSection={<Icon name="down" size={14} />}>
          {kit.actions}
        </Button>
      </Menu.Target>
      <Menu.Dropdown>
        {disabled ? <Menu.Item onClick={enable}>{t.enable}</Menu.Item> : <Menu.Item onClick={() => ask('disable')}>{t.disable}</Menu.Item>}
        <Menu.Item onClick={() => ask('reset')}>{t.reset}</Menu.Item>
        <Menu.Item color="red" onClick={() => ask('remove')}>
          {t.remove}
        </Menu.Item>
      </Menu.Dropdown>
    </Menu>
  );
}

function EditDevice({ device, onClose }: { device: Device; onClose: () => void }) {
  const t = words.use();
  const kit = kitWords.use();
  const [name, setName] = useState(device.name);
  const [description, setDescription] = useState(device.description);
  const [tags, setTags] = useState<[string, string][]>(Object.entries(device.tags ?? {}));
  const path = { productSN: device.productSN, deviceSN: device.deviceSN };
  const save = useAct(
    () => {
      // What has gone is said with null.
      const change: Record<string, string | null> = Object.fromEntries(Object.keys(device.tags ?? {}).map((k) => [k, null]));
      for (const [k, v] of tags) if (k.trim()) change[k.trim()] = v;
      const body = { name, description, tags: change as Record<string, string> };
      return take(api.PATCH('/v1/products/{productSN}/devices/{deviceSN}', { params: { path }, headers: { 'If-Match': `"${device.revision ?? 0}"` }, body }));
    },
    { keys: [['device', device.productSN, device.deviceSN], ['devices']], done: t.saved },
  );
  return (
    <Modal opened onClose={onClose} title={t.edit} closeButtonProps={{ 'aria-label': kit.close }} centered>
      <form
        onSubmit={(e) => {
          e.preventDefault();
          save.mutate(undefined, { onSuccess: onClose });
        }}
      >
        <Stack>
          <TextInput label={t.name} value={name} onChange={(e) => setName(e.currentTarget.value)} data-autofocus />
          <TextInput label={t.description} value={description} onChange={(e) => setDescription(e.currentTarget.value)} />
          <TagRows tags={tags} onChange={setTags} />
          <Group justify="flex-end">
            <Button variant="default" onClick={onClose}>
              {kit.cancel}
            </Button>
            <Button type="submit" loading={save.isPending}>
              {kit.save}
            </Button>
          </Group>
        </Stack>
      </form>
    </Modal>
  );
}

function TagRows({ tags, onChange }: { tags: [string, string][]; onChange: (tags: [string, string][]) => void }) {
  const t = words.use();
  const kit = kitWords.use();
  const set = (i: number, row: [string, string]) => onChange(tags.map((old, j) => (j === i ? row : old)));
  return (
    <Stack gap="xs">
      {tags.map(([k, v], i) => (
        <Group key={i} wrap="nowrap" gap="xs" align="flex-end">
          <TextInput label={t.tagName} value={k} onChange={(e) => set(i, [e.currentTarget.value, v])} />
          <TextInput label={t.tagValue} value={v} onChange={(e) => set(i, [k, e.currentTarget.value])} />
          <Button variant="default" px="xs" aria-label={kit.drop} onClick={() => onChange(tags.filter((_, j) => j !== i))}>
            <Icon name="trash" size={16} />
          </Button>
        </Group>
      ))}
      <div>
        <Button size="xs" variant="default" leftSection={<Icon name="plus" size={14} />} onClick={() => onChange([...tags, ['', '']])}>
          {t.tags}
        </Button>
      </div>
    </Stack>
  );
}
