import { Alert, Button, Checkbox, Code, Group, Modal, Select, Stack, TagsInput, Text, TextInput } from '@mantine/core';
import { useQueryClient } from '@tanstack/react-query';
import { useState } from 'react';
import { api, currentProject, take, type Schemas } from '../../api/client';
import { useAct, useRead } from '../../kit/data';
import { numeral } from '../../kit/i18n';
import { JobView, type Job } from '../../kit/JobView';
import { words as kitWords } from '../../kit/text';
import { words } from './bulkText';

type Action = Schemas['DeviceBulkAction'];

const actions: Action[] = ['enable', 'disable', 'tag', 'add-to-group', 'remove-from-group', 'reset', 'reset-secret', 'delete'];

/** What cannot be taken back. */
const severe: Action[] = ['reset', 'reset-secret', 'delete'];

interface Props {
  /** What the devices are chosen by; '' is all of the project. */
  filter: string;
  total: number;
  onClose: () => void;
}

/** BulkJob does something with every device that a filter takes, as a job of the hub; it can be tried first. */
export function BulkJob({ filter, total, onClose }: Props) {
  const t = words.use();
  const kit = kitWords.use();
  const cache = useQueryClient();
  const [action, setAction] = useState<Action>('disable');
  const [tags, setTags] = useState<string[]>([]);
  const [drop, setDrop] = useState<string[]>([]);
  const [group, setGroup] = useState('');
  const [typed, setTyped] = useState('');
  const [dry, setDry] = useState(false);
  const [job, setJob] = useState<Job>();
  const grouped = action === 'add-to-group' || action === 'remove-from-group';
  const body: Schemas['DeviceBulk'] = {
    action,
    filter: filter || undefined,
    ...(action === 'tag' && { tags: pairs(tags), dropTags: drop.length > 0 ? drop : undefined }),
    ...(grouped && { group }),
  };
  const run = useAct(() => take(api.POST('/v1/devices:bulk', { params: { query: { dryRun: dry || undefined } }, body })));
  const complete = (action !== 'tag' || tags.length + drop.length > 0) && (!grouped || group !== '');
  const sure = dry || !severe.includes(action) || typed === String(total);
  const ended = () => void cache.invalidateQueries({ queryKey: [currentProject(), 'devices'] });
  return (
    <Modal opened onClose={onClose} title={t.title(numeral(total))} size="lg" closeButtonProps={{ 'aria-label': kit.close }}>
      <form
        onSubmit={(e) => {
          e.preventDefault();
          if (complete && sure) run.mutate(undefined, { onSuccess: setJob });
        }}
      >
        <Stack>
          {filter ? (
            <Text size="sm">
              {t.of} <Code>{filter}</Code>
            </Text>
          ) : (
            <Alert color="yellow">{t.everything}</Alert>
          )}
          <Select label={t.action} allowDeselect={false} value={action} onChange={(v) => setAction(v as Action)} data={actions.map((value) => ({ value, label: t[value] }))} />
          {action === 'tag' && (
            <>
              <TagsInput label={t.set} description={t.setHint} value={tags} onChange={setTags} splitChars={[',']} />
              <TagsInput label={t.drop} value={drop} onChange={setDrop} splitChars={[',']} />
            </>
          )}
          {grouped && <GroupPick value={group} onChange={setGroup} />}
          {action === 'reset-secret' && <Text size="sm">{t.secretHint}</Text>}
          <Checkbox label={t.dry} checked={dry} onChange={(e) => setDry(e.currentTarget.checked)} />
          {!dry && severe.includes(action) && <TextInput label={kit.typeName(String(total))} value={typed} onChange={(e) => setTyped(e.currentTarget.value)} autoComplete="off" spellCheck={false} />}
          <Group justify="flex-end">
            <Button variant="default" onClick={onClose}>
              {kit.close}
            </Button>
            <Button type="submit" color={severe.includes(action) && !dry ? 'red' : undefined} disabled={!complete || !sure} loading={run.isPending}>
              {dry ? t.try : t.start}
            </Button>
          </Group>
          {job && <JobView key={job.id} job={job} onEnd={ended} />}
        </Stack>
      </form>
    </Modal>
  );
}

/** pairs are tags as they are typed: name=value, or a name alone. */
export function pairs(typed: string[]): Record<string, string> {
  return Object.fromEntries(
    typed.map((tag) => {
      const i = tag.indexOf('=');
      return i < 0 ? [tag.trim(), ''] : [tag.slice(0, i).trim(), tag.slice(i + 1).trim()];
    }),
  );
}

/** GroupPick chooses a group of members; one that has a filter takes none. */
function GroupPick({ value, onChange }: { value: string; onChange: (group: string) => void }) {
  const t = words.use();
  const read = useRead(['groups', 'all'], (signal) => take(api.GET('/v1/groups', { params: { query: { limit: 1000 } }, signal })));
  const groups = (read.data?.items ?? []).filter((g) => !g.filter);
  return <Select label={t.group} required searchable value={value || null} onChange={(v) => onChange(v ?? '')} data={groups.map((g) => g.name)} nothingFoundMessage={t.noGroup} />;
}
