import { Badge, Button, Group, Modal, Select, Stack, TextInput } from '@mantine/core';
import { useState } from 'react';
import { api, take, type Schemas } from '../../api/client';
import { useSession } from '../../app/session';
import { ConfirmDialog } from '../../kit/ConfirmDialog';
import { useAct } from '../../kit/data';
import { Icon } from '../../kit/icons';
import { asked, ListPage, type Column } from '../../kit/ListPage';
import { productName, useProducts } from '../../kit/products';
import { words as kitWords } from '../../kit/text';
import { Time } from '../../kit/Time';
import { roles, useRoleName } from './roles';
import { words } from './text';

type Member = Schemas['Member'];

/** Members are who may do what in the open project. */
export function Members() {
  const t = words.use();
  const { may, project } = useSession();
  const products = useProducts();
  const roleName = useRoleName();
  const [adding, setAdding] = useState(false);
  const write = may('user.write');
  const only = (m: Member) => Object.entries(m.products ?? {}).map(([sn, role]) => `${productName(products, sn)}: ${roleName(role)}`).join(', ');
  const columns: Column<Member>[] = [
    { id: 'login', title: t.login, sort: 'login', cell: (m) => <Login member={m} />, csv: (m) => m.login },
    { id: 'name', title: t.name, sort: 'name', cell: (m) => m.name, csv: (m) => m.name },
    { id: 'role', title: t.role, sort: 'role', cell: (m) => (write && m.role ? <RolePick member={m} /> : m.role && roleName(m.role)), csv: (m) => m.role },
    { id: 'products', title: t.products, cell: only, csv: only },
    { id: 'added', title: t.added, sort: 'created', cell: (m) => <Time at={m.addedAt} />, csv: (m) => m.addedAt },
    ...(write ? [{ id: 'end', title: t.remove, cell: (m: Member) => <Remove member={m} /> }] : []),
  ];
  return (
    <Stack>
      {write && (
        <Group>
          <Button leftSection={<Icon name="plus" />} onClick={() => setAdding(true)}>
            {t.addMember}
          </Button>
        </Group>
      )}
      <ListPage<Member>
        name="members"
        columns={columns}
        rowKey={(m) => m.user}
        empty={t.noMembers}
        filter={{ placeholder: 'role:admin state:enabled' }}
        load={(q) => take(api.GET('/v1/projects/{projectID}/members', { params: { path: { projectID: project }, query: asked(q) }, signal: q.signal }))}
      />
      {adding && <Add onClose={() => setAdding(false)} />}
    </Stack>
  );
}

function Login({ member }: { member: Member }) {
  const t = words.use();
  return (
    <Group gap="xs">
      {member.login}
      {member.disabled && (
        <Badge variant="light" color="red" className="badge">
          {t.disabled}
        </Badge>
      )}
    </Group>
  );
}

function RolePick({ member }: { member: Member }) {
  const t = words.use();
  const { project } = useSession();
  const roleName = useRoleName();
  const set = useAct((role: string) => take(api.PUT('/v1/projects/{projectID}/members/{userID}', { params: { path: { projectID: project, userID: member.user } }, body: { role } })), { keys: [['members']], done: t.roleSet });
  return (
    <Select
      aria-label={`${t.role}: ${member.login}`}
      w={150}
      size="xs"
      allowDeselect={false}
      disabled={set.isPending}
      value={member.role ?? null}
      onChange={(role) => role && role !== member.role && set.mutate(role)}
      data={roles.map((value) => ({ value, label: roleName(value) }))}
    />
  );
}

function Remove({ member }: { member: Member }) {
  const t = words.use();
  const { project } = useSession();
  const [asked, setAsked] = useState(false);
  const remove = useAct(() => take(api.DELETE('/v1/projects/{projectID}/members/{userID}', { params: { path: { projectID: project, userID: member.user } } })), { keys: [['members']], done: t.memberRemoved });
  return (
    <>
      <Button size="compact-xs" variant="default" onClick={() => setAsked(true)} aria-label={`${t.remove}: ${member.login}`}>
        {t.remove}
      </Button>
      <ConfirmDialog opened={asked} onClose={() => setAsked(false)} title={t.removeMember} action={t.remove} name={member.login} busy={remove.isPending} onConfirm={() => remove.mutate(undefined, { onSettled: () => setAsked(false) })}>
        {t.removeMemberSure(member.name || member.login)}
      </ConfirmDialog>
    </>
  );
}

function Add({ onClose }: { onClose: () => void }) {
  const t = words.use();
  const kit = kitWords.use();
  const { project } = useSession();
  const roleName = useRoleName();
  const [user, setUser] = useState('');
  const [role, setRole] = useState<string>('viewer');
  const add = useAct(() => take(api.POST('/v1/projects/{projectID}/members', { params: { path: { projectID: project } }, body: { user: user.trim(), role } })), { keys: [['members']], done: t.memberAdded });
  return (
    <Modal opened onClose={onClose} title={t.addMember} closeButtonProps={{ 'aria-label': kit.close }} centered>
      <form
        onSubmit={(e) => {
          e.preventDefault();
          add.mutate(undefined, { onSuccess: onClose });
        }}
      >
        <Stack>
          <TextInput data-autofocus required label={t.login} description={t.userHint} value={user} onChange={(e) => setUser(e.currentTarget.value)} autoComplete="off" spellCheck={false} />
          <Select label={t.role} allowDeselect={false} value={role} onChange={(r) => r && setRole(r)} data={roles.map((value) => ({ value, label: roleName(value) }))} />
          <Group justify="flex-end">
            <Button variant="default" onClick={onClose}>
              {kit.cancel}
            </Button>
            <Button type="submit" loading={add.isPending} disabled={user.trim() === ''}>
              {t.addMember}
            </Button>
          </Group>
        </Stack>
      </form>
    </Modal>
  );
}
