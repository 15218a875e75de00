import { Badge, Button } from '@mantine/core';
import { useState } from 'react';
import { Route, Switch } from 'wouter';
import { api, take, type Schemas } from '../../api/client';
import { useSession } from '../../app/session';
import { Icon } from '../../kit/icons';
import { asked, ListPage, type Column } from '../../kit/ListPage';
import { Missing, Page } from '../../kit/Page';
import { Time } from '../../kit/Time';
import { Group } from './Group';
import { GroupForm } from './GroupForm';
import { words } from './text';

export default function Groups() {
  return (
    <Switch>
      <Route path="/groups" component={GroupList} />
      <Route path="/groups/:group" component={Group} />
      <Route component={Missing} />
    </Switch>
  );
}

type Item = Schemas['Group'];

function GroupList() {
  const t = words.use();
  const { may } = useSession();
  const [making, setMaking] = useState(false);
  const columns: Column<Item>[] = [
    { id: 'name', title: t.name, sort: 'name', cell: (g) => g.name, csv: (g) => g.name },
    { id: 'kind', title: t.kind, sort: 'kind', cell: (g) => <Badge variant="default" className="badge">{g.filter ? t.byFilter : t.byMembers}</Badge>, csv: (g) => (g.filter ? 'filter' : 'members') },
    { id: 'filter', title: t.filter, cell: (g) => g.filter, csv: (g) => g.filter },
    { id: 'description', title: t.description, sort: 'description', cell: (g) => g.description, csv: (g) => g.description },
    { id: 'updated', title: t.updated, sort: 'updated', cell: (g) => <Time at={g.updatedAt} />, csv: (g) => g.updatedAt },
  ];
  return (
    <Page
      title={t.title}
      actions={
        may('group.write') && (
          <Button leftSection={<Icon name="plus" />} onClick={() => setMaking(true)}>
            {t.create}
          </Button>
        )
      }
    >
      <ListPage<Item>
        name="groups"
        columns={columns}
        rowKey={(g) => g.name}
        rowLink={(g) => `/groups/${g.name}`}
        empty={t.none}
        filter={{ placeholder: 'kind:filter updated>-7d' }}
        load={(q) => take(api.GET('/v1/groups', { params: { query: asked(q) }, signal: q.signal }))}
      />
      {making && <GroupForm onClose={() => setMaking(false)} />}
    </Page>
  );
}
