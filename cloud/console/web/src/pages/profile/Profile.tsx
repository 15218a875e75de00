import { Badge, Paper, Stack, Title } from '@mantine/core';
import type { ReactNode } from 'react';
import { useSession } from '../../app/session';
import { CopyText } from '../../kit/CopyText';
import { Facts } from '../../kit/Facts';
import { Page } from '../../kit/Page';
import { Time } from '../../kit/Time';
import { Sessions } from '../access/Sessions';
import { Password } from './Password';
import { SecondFactor } from './SecondFactor';
import { words } from './text';

/** Profile is what belongs to the reader: password, second factor, and where they are logged in. */
export default function Profile() {
  const t = words.use();
  const { me, projects } = useSession();
  const names = projects.map((p) => p.name || p.id).join(', ');
  return (
    <Page title={t.title}>
      <Stack maw={1100}>
        <Part title={me.name}>
          <Facts
            of={[
              [t.id, <CopyText value={me.id} />],
              [t.projects, names],
              [t.whole, me.hub.length > 0 && <Badge variant="light" className="badge">{t.wholeHub}</Badge>],
              [t.sessionEnds, me.expiresAt && <Time at={me.expiresAt} exact />],
            ]}
          />
        </Part>
        {me.kind === 'user' && (
          <>
            <Part title={t.password}>
              <Password />
            </Part>
            <Part title={t.factor} badge={<Badge variant="light" color={me.totp ? 'green' : 'gray'} className="badge" data-totp={me.totp ? 'on' : 'off'}>{me.totp ? t.on : t.off}</Badge>}>
              <SecondFactor on={me.totp ?? false} />
            </Part>
            <Part title={t.sessions}>
              <Sessions />
            </Part>
          </>
        )}
      </Stack>
    </Page>
  );
}

function Part({ title, badge, children }: { title: string; badge?: ReactNode; children: ReactNode }) {
  return (
    <Paper withBorder p="md" component="section" aria-label={title}>
      <Title order={2} size="h4" mb="sm">
        {title} {badge}
      </Title>
      {children}
    </Paper>
  );
}
