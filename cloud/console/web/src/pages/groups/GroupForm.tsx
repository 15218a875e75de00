import { Button, Group, Modal, Stack, TextInput } from '@mantine/core';
import { useState } from 'react';
import { useLocation } from 'wouter';
import { api, take, type Schemas } from '../../api/client';
import { useAct } from '../../kit/data';
import { words as kitWords } from '../../kit/text';
import { words } from './text';

/** GroupForm makes a group, or changes the one that it is given. */
export function GroupForm({ group, onClose }: { group?: Schemas['Group']; onClose: () => void }) {
  const t = words.use();
  const kit = kitWords.use();
  const [, go] = useLocation();
  const [name, setName] = useState(group?.name ?? '');
  const [description, setDescription] = useState(group?.description ?? '');
  const [filter, setFilter] = useState(group?.filter ?? '');
  const save = useAct<void, Schemas['Group']>(
    () =>
      group
        ? take(api.PATCH('/v1/groups/{group}', { params: { path: { group: group.name } }, headers: { 'If-Match': `"${group.revision}"` }, body: { name, description, ...(filter !== group.filter && { filter }) } }))
        : take(api.POST('/v1/groups', { body: { name, description, ...(filter && { filter }) } })),
    { keys: [['groups'], ['group']], done: group ? t.saved : t.made },
  );
  return (
    <Modal opened onClose={onClose} title={group ? t.edit : t.create} closeButtonProps={{ 'aria-label': kit.close }} centered>
      <form
        onSubmit={(e) => {
          e.preventDefault();
          save.mutate(undefined, {
            onSuccess(made) {
              onClose();
              go(`/groups/${made.name}`, { replace: group !== undefined });
            },
          });
        }}
      >
        <Stack>
          <TextInput label={t.name} description={t.nameHint} required pattern="[A-Za-z0-9_.\-]{1,64}" value={name} onChange={(e) => setName(e.currentTarget.value)} data-autofocus />
          <TextInput label={t.description} value={description} onChange={(e) => setDescription(e.currentTarget.value)} />
          {(!group || group.filter) && <TextInput label={t.filter} description={t.filterHint} required={group !== undefined} value={filter} onChange={(e) => setFilter(e.currentTarget.value)} spellCheck={false} />}
          <Group justify="flex-end">
            <Button variant="default" onClick={onClose}>
              {kit.cancel}
            </Button>
            <Button type="submit" loading={save.isPending}>
              {group ? t.save : t.create}
            </Button>
          </Group>
        </Stack>
      </form>
    </Modal>
  );
}
