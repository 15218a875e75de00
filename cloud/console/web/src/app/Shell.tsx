import { ActionIcon, Alert, AppShell, Burger, Button, Group, Menu, NavLink, ScrollArea, Select, Text, Title } from '@mantine/core';
import { useDisclosure } from '@mantine/hooks';
import { lazy, Suspense, useEffect, useMemo, useRef, useSyncExternalStore, type ComponentType, type LazyExoticComponent } from 'react';
import { Link, Route, Switch, useLocation } from 'wouter';
import { connection } from '../api/connection';
import { useLanguage } from '../kit/i18n';
import { Icon } from '../kit/icons';
import { Loading, Missing } from '../kit/Page';
import { useStream } from '../kit/stream';
import { words as kitWords } from '../kit/text';
import { pages, sections, type PageEntry } from '../pages/registry';
import { ErrorBoundary } from './ErrorBoundary';
import { Preferences } from './Preferences';
import { useSession } from './session';
import { words } from './text';

const views = new Map<string, LazyExoticComponent<ComponentType>>(pages.map((p) => [p.path, lazy(p.view)]));

/** Shell is the frame of all pages: the bar above, the navigation, and what says that the hub is away. */
export function Shell({ outdated }: { outdated: boolean }) {
  const t = words.use();
  const { may } = useSession();
  const [opened, { toggle, close }] = useDisclosure();
  const [at] = useLocation();
  const open = useMemo(() => pages.filter((p) => !p.permission || may(p.permission)), [may]);
  useEffect(close, [at, close]);
  return (
    <AppShell header={{ height: 56 }} navbar={{ width: 232, breakpoint: 'sm', collapsed: { mobile: !opened } }} padding="md">
      <a href="#content" className="skip">
        {t.skip}
      </a>
      <AppShell.Header>
        <TopBar opened={opened} toggle={toggle} />
      </AppShell.Header>
      <AppShell.Navbar p="xs" aria-label={t.navigation}>
        <ScrollArea>
          <Navigation open={open} at={at} />
        </ScrollArea>
      </AppShell.Navbar>
      <AppShell.Main id="content" tabIndex={-1}>
        <Banners outdated={outdated} />
        <ErrorBoundary at={at}>
          <Suspense fallback={<Loading />}>
            <Switch>
              {open.map((p) => (
                <Route key={p.path} path={`${p.path}/*?`} component={views.get(p.path)!} />
              ))}
              <Route component={Missing} />
            </Switch>
          </Suspense>
        </ErrorBoundary>
      </AppShell.Main>
    </AppShell>
  );
}

/** Banners tell of a hub that is away, and of a console that is older than the hub. */
function Banners({ outdated }: { outdated: boolean }) {
  const t = words.use();
  const kit = kitWords.use();
  const up = useSyncExternalStore(connection.subscribe, () => connection.up);
  // A stream on which nothing comes: it ends when the hub does, so that nobody has to ask.
  const alive = useStream('/console/alive', () => {});
  const broken = useRef(false);
  useEffect(() => {
    if (alive === 'lost') broken.current = true;
    if (alive !== 'open' || !broken.current) return;
    broken.current = false;
    connection.again();
  }, [alive]);
  return (
    <div aria-live="assertive">
      {!up && (
        <Alert color="yellow" mb="md" icon={<Icon name="refresh" />} data-banner="reconnecting">
          {t.reconnecting}
        </Alert>
      )}
      {up && outdated && (
        <Alert mb="md" icon={<Icon name="refresh" />}>
          <Group>
            <Text size="sm">{t.newVersion}</Text>
            <Button size="xs" onClick={() => location.reload()}>
              {kit.reload}
            </Button>
          </Group>
        </Alert>
      )}
    </div>
  );
}

function TopBar({ opened, toggle }: { opened: boolean; toggle: () => void }) {
  const t = words.use();
  return (
    <Group h="100%" px="md" justify="space-between" wrap="nowrap">
      <Group gap="sm" wrap="nowrap">
        <Burger opened={opened} onClick={toggle} hiddenFrom="sm" size="sm" aria-label={t.menu} />
        <img src="/console/icon.svg" width={26} height={26} alt="" />
        <Title order={2} size="h4" visibleFrom="xs">
          {'Hawser'}
        </Title>
        <ProjectSwitch />
      </Group>
      <Group gap={4} wrap="nowrap">
        <Preferences />
        <AccountMenu />
      </Group>
    </Group>
  );
}

function ProjectSwitch() {
  const t = words.use();
  const { projects, project } = useSession();
  const [, go] = useLocation();
  return (
    <Select
      aria-label={t.project}
      className="project"
      data={projects.map((p) => ({ value: p.id, label: p.name || p.id }))}
      value={project}
      allowDeselect={false}
      searchable={projects.length > 8}
      onChange={(id) => id && go(`~/console/${id}${sectionOf(location.pathname)}`)}
    />
  );
}

/** sectionOf is the page of an address without the thing that is open on it, which another project does not have. */
function sectionOf(path: string): string {
  const [, , , page] = path.split('/');
  return page ? `/${page}` : '';
}

function AccountMenu() {
  const t = words.use();
  const { me, logout } = useSession();
  return (
    <Menu position="bottom-end" width={200}>
      <Menu.Target>
        <ActionIcon variant="subtle" color="gray" size="lg" aria-label={t.account(me.name)} title={me.name}>
          <Icon name="user" />
        </ActionIcon>
      </Menu.Target>
      <Menu.Dropdown>
        <Menu.Label className="wrap">{me.name}</Menu.Label>
        {me.kind === 'user' && (
          <Menu.Item component={Link} href="/profile" leftSection={<Icon name="user" size={16} />}>
            {t.profile}
          </Menu.Item>
        )}
        <Menu.Item component="a" href="/docs/api" target="_blank" leftSection={<Icon name="link" size={16} />}>
          {t.apiDocs}
        </Menu.Item>
        <Menu.Item leftSection={<Icon name="logout" size={16} />} onClick={() => void logout()}>
          {t.logout}
        </Menu.Item>
      </Menu.Dropdown>
    </Menu>
  );
}

function Navigation({ open, at }: { open: PageEntry[]; at: string }) {
  const t = words.use();
  const language = useLanguage();
  return (
    <>
      {sections.map((s) => {
        const list = open.filter((p) => p.section === s);
        if (list.length === 0) return null;
        return (
          <div key={s} role="group" aria-label={t[s]}>
            <Text size="xs" fw={600} c="dimmed" px="sm" pt="sm" pb={4} aria-hidden="true">
              {t[s]}
            </Text>
            {list.map((p) => {
              const active = at === p.path || at.startsWith(`${p.path}/`);
              return <NavLink key={p.path} component={Link} href={p.path} label={p.title[language]} leftSection={<Icon name={p.icon} />} active={active} aria-current={active ? 'page' : undefined} />;
            })}
          </div>
        );
      })}
    </>
  );
}
