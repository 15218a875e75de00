import { Center, MantineProvider, Text, createTheme, localStorageColorSchemeManager, type CSSVariablesResolver } from '@mantine/core';
import { Notifications } from '@mantine/notifications';
import { QueryClient, QueryClientProvider, useQueryClient } from '@tanstack/react-query';
import { lazy, Suspense, useCallback, useEffect, useMemo, useState } from 'react';
import { Redirect, Route, Router, Switch, useParams } from 'wouter';
import { api, onSessionEnd, setProject, take, type Schemas } from '../api/client';
import { connection } from '../api/connection';
import { hasCode, ProblemError } from '../api/problem';
import { Fault, Loading } from '../kit/Page';
import { toastProblem } from '../kit/toast';
import { pages } from '../pages/registry';
import { Login } from './Login';
import { nonce } from './nonce';
import { SessionContext, hubState, mayOf, whoAmI, type HubState, type Session } from './session';
import { Shell } from './Shell';
import { words } from './text';

const SetUp = lazy(() => import('./SetUp'));

const theme = createTheme({
  primaryColor: 'cyan',
  primaryShade: 9,
  autoContrast: true,
  fontFamily: 'system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", "Noto Sans CJK SC", "PingFang SC", "Microsoft YaHei", sans-serif',
  defaultRadius: 'sm',
});

// Some of Mantine's text is too faint to be read by everybody.
const inks = { green: '#1c6b2f', gray: '#343a40', blue: '#114f8c', red: '#a51111', teal: '#066649', yellow: '#7a4a00', orange: '#963a05', cyan: '#0b5866', violet: '#4c2aa8' };
const hover = { '--mantine-color-cyan-filled-hover': '#095c6b', '--mantine-primary-color-filled-hover': '#095c6b' };
const resolver: CSSVariablesResolver = () => ({
  variables: {},
  light: {
    ...hover,
    ...Object.fromEntries(Object.entries(inks).map(([name, ink]) => [`--mantine-color-${name}-light-color`, ink])),
    '--mantine-color-dimmed': 'var(--mantine-color-gray-7)', '--mantine-color-placeholder': 'var(--mantine-color-gray-7)', '--mantine-color-error': 'var(--mantine-color-red-9)' },
  dark: { ...hover, '--mantine-color-dimmed': 'var(--mantine-color-dark-1)', '--mantine-color-placeholder': 'var(--mantine-color-dark-1)', '--mantine-color-error': 'var(--mantine-color-red-4)' },
});

const client = new QueryClient({
  defaultOptions: {
    queries: {
      staleTime: 10_000,
      refetchOnWindowFocus: false,
      refetchOnReconnect: false,
      // What the hub refused it refuses again; what did not reach it is read when it is back.
      retry: (count, err) => count < 2 && err instanceof ProblemError && err.status >= 500,
    },
  },
});

// What is on the page is read anew when the hub is back: it may have changed, and what failed meanwhile must not stay.
connection.onBack(() => void client.invalidateQueries());

const colours = localStorageColorSchemeManager({ key: 'hawser.colours' });

export function App() {
  return (
    <MantineProvider theme={theme} defaultColorScheme="auto" colorSchemeManager={colours} cssVariablesResolver={resolver} getStyleNonce={nonce}>
      <Notifications position="bottom-right" limit={4} />
      <QueryClientProvider client={client}>
        <Entrance />
      </QueryClientProvider>
    </MantineProvider>
  );
}

interface Known {
  hub: HubState;
  me: Schemas['Me'] | null;
  projects: Schemas['Project'][];
}

async function find(): Promise<Known> {
  const [hub, me] = await Promise.all([hubState(), whoAmI()]);
  return { hub, me, projects: me ? (await take(api.GET('/v1/projects'))).items : [] };
}

/** Entrance finds out who is there, and shows what they may see. */
function Entrance() {
  const [known, setKnown] = useState<Known | null>(null);
  const [error, setError] = useState<Error | null>(null);
  const [expired, setExpired] = useState(false);
  const [outdated, setOutdated] = useState(false);
  const cache = useQueryClient();
  const look = useCallback(() => {
    setProject('');
    find().then(
      (k) => {
        setError(null);
        setKnown(k);
      },
      (err: Error) => setError(err),
    );
  }, []);
  useEffect(look, [look]);
  useEffect(
    () =>
      onSessionEnd(() => {
        setKnown((k) => {
          if (k?.me) setExpired(true);
          return k && { ...k, me: null };
        });
      }),
    [],
  );
  const version = known?.hub.version;
  useEffect(
    () =>
      connection.onBack(() => {
        if (version === undefined) return look();
        hubState().then(
          (now) => setOutdated(now.version !== version),
          () => {},
        );
      }),
    [version, look],
  );
  const enter = () => {
    setExpired(false);
    cache.clear();
    look();
  };
  const logout = async () => {
    try {
      await take(api.POST('/v1/logout'));
    } catch (err) {
      // A session that has ended already is out; any other must not look as if it were.
      if (!hasCode(err, 'unauthorized')) return toastProblem(err);
    }
    cache.clear();
    setKnown((k) => k && { ...k, me: null });
  };
  if (!known) return error ? <Center p="xl"><Fault error={error} retry={look} /></Center> : <Loading />;
  if (!known.me) {
    return known.hub.setUp ? (
      <Suspense fallback={<Loading />}>
        <SetUp hub={known.hub} onDone={enter} />
      </Suspense>
    ) : (
      <Login hub={known.hub} expired={expired} onDone={enter} />
    );
  }
  return <Inside known={{ ...known, me: known.me }} logout={logout} refresh={look} outdated={outdated} />;
}

interface InsideProps {
  known: Known & { me: Schemas['Me'] };
  logout: () => Promise<void>;
  refresh: () => void;
  outdated: boolean;
}

function Inside(props: InsideProps) {
  const { projects, me } = props.known;
  const home = projects.find((p) => p.id === me.project)?.id ?? projects.find((p) => p.id === 'default')?.id ?? projects[0]?.id;
  const t = words.use();
  if (!home) {
    return (
      <Center p="xl" component="main">
        <Text>
          {t.noProject}. {t.noProjectMore}
        </Text>
      </Center>
    );
  }
  return (
    <Router base="/console">
      <Switch>
        <Route path="/:project" nest>
          <InProject {...props} home={home} />
        </Route>
        <Route>
          <Redirect to={`/${home}`} replace />
        </Route>
      </Switch>
    </Router>
  );
}

function InProject({ known, logout, refresh, outdated, home }: InsideProps & { home: string }) {
  const { project = '' } = useParams<{ project: string }>();
  const { me, hub, projects } = known;
  const there = projects.some((p) => p.id === project);
  if (there) setProject(project); // before anything below asks
  const session = useMemo<Session>(
    () => ({ me, hub, projects, project, may: mayOf(me, project), mayHub: (p) => me.hub.includes(p), logout, refresh }),
    [me, hub, projects, project, logout, refresh],
  );
  if (!there) return <Redirect to={`~/console/${home}`} replace />;
  const start = pages.find((p) => !p.permission || session.may(p.permission));
  return (
    <SessionContext value={session}>
      {start && (
        <Route path="/">
          <Redirect to={start.path} replace />
        </Route>
      )}
      <Shell key={project} outdated={outdated} />
    </SessionContext>
  );
}
