import { Alert, Button, Group, Paper, Stack, Switch, Text, Textarea, TextInput } from '@mantine/core';
import { useState } from 'react';
import { api, take, type Schemas } from '../../api/client';
import { useSession } from '../../app/session';
import { useAct, useRead } from '../../kit/data';
import { Facts } from '../../kit/Facts';
import { numeral } from '../../kit/i18n';
import { Ready } from '../../kit/Page';
import { Time } from '../../kit/Time';
import { words } from './text';

type Project = Schemas['Project'];

/** ProjectSettings are what the open project is called, how it works, and how much it may have. */
export function ProjectSettings() {
  const { project } = useSession();
  const read = useRead(['projects', 'one'], (signal) => take(api.GET('/v1/projects/{projectID}', { params: { path: { projectID: project } }, signal })));
  return <Ready of={read}>{(p) => <Form key={p.updatedAt ?? p.id} project={p} />}</Ready>;
}

function Form({ project: p }: { project: Project }) {
  const t = words.use();
  const { may, refresh } = useSession();
  const write = may('project.write');
  const [name, setName] = useState(p.name);
  const [description, setDescription] = useState(p.description);
  const [approval, setApproval] = useState(p.campaignApproval ?? false);
  const save = useAct((body: Schemas['ProjectPatch']) => take(api.PATCH('/v1/projects/{projectID}', { params: { path: { projectID: p.id } }, body })), { keys: [['projects']], done: t.projectSaved });
  const submit = () => save.mutate({ name: name.trim(), description: description.trim(), campaignApproval: approval }, { onSuccess: refresh });
  return (
    <Paper withBorder p="md" maw={720}>
      <form
        onSubmit={(e) => {
          e.preventDefault();
          submit();
        }}
      >
        <Stack>
          {!write && <Alert color="gray">{t.projectReadOnly}</Alert>}
          <TextInput label={t.name} value={name} onChange={(e) => setName(e.currentTarget.value)} disabled={!write} />
          <Textarea label={t.description} value={description} onChange={(e) => setDescription(e.currentTarget.value)} autosize minRows={2} disabled={!write} />
          <Switch label={t.approval} description={t.approvalHint} checked={approval} onChange={(e) => setApproval(e.currentTarget.checked)} disabled={!write} />
          <Quota project={p} />
          {write && (
            <Group justify="flex-end">
              <Button type="submit" loading={save.isPending}>
                {t.save}
              </Button>
            </Group>
          )}
        </Stack>
      </form>
    </Paper>
  );
}

/** Quota is the most that the project may have; who manages the whole hub sets it. */
function Quota({ project: p }: { project: Project }) {
  const t = words.use();
  const most = (n: number | undefined) => (n ? numeral(n) : t.noLimit);
  const { devices, products, rules, users, apiKeys } = p.quota;
  return (
    <div>
      <Text size="sm" fw={500} mb={4}>
        {t.quota}
      </Text>
      <Facts
        of={[
          [t.quotaDevices, most(devices)],
          [t.quotaProducts, most(products)],
          [t.quotaRules, most(rules)],
          [t.members, most(users)],
          [t.keys, most(apiKeys)],
          [t.projectID, p.id],
          [t.created, p.createdAt && <Time at={p.createdAt} />],
        ]}
      />
    </div>
  );
}
