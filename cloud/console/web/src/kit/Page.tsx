import { Alert, Anchor, Breadcrumbs, Button, Center, Group, Loader, Stack, Text, Title } from '@mantine/core';
import { useEffect, type ReactNode } from 'react';
import { Link } from 'wouter';
import { Icon } from './icons';
import { words } from './text';
import { detailOf, titleOf } from './toast';

/** Page is the frame of a page: where it is, its title (also the tab's), what can be done, and what it shows. */
export function Page({ title, trail = [], actions, badge, children }: { title: string; trail?: [title: string, to: string][]; actions?: ReactNode; badge?: ReactNode; children: ReactNode }) {
  useEffect(() => {
    document.title = `${title} · Hawser`;
  }, [title]);
  return (
    <Stack gap="md">
      {trail.length > 0 && (
        <Breadcrumbs separator="›">
          {trail.map(([name, to]) => (
            <Anchor key={to} component={Link} href={to} size="sm">
              {name}
            </Anchor>
          ))}
          <span />
        </Breadcrumbs>
      )}
      <Group justify="space-between" align="center">
        <Group gap="sm" align="center">
          <Title order={1} size="h2" className="wrap">
            {title}
          </Title>
          {badge}
        </Group>
        {actions && <Group gap="xs">{actions}</Group>}
      </Group>
      {children}
    </Stack>
  );
}

export function Loading() {
  const t = words.use();
  return (
    <Center p="xl" role="status" aria-label={t.loading}>
      <Loader aria-hidden="true" />
    </Center>
  );
}

/** Fault is an error where something should be. */
export function Fault({ error, retry }: { error: unknown; retry?: () => void }) {
  const t = words.use();
  return (
    <Alert color="red" title={titleOf(error)} icon={<Icon name="warning" />} role="alert">
      <Stack gap="xs" align="flex-start">
        <Text size="sm" className="wrap">
          {detailOf(error) || t.failed}
        </Text>
        {retry && (
          <Button size="xs" variant="default" onClick={retry}>
            {t.retry}
          </Button>
        )}
      </Stack>
    </Alert>
  );
}

export interface Reading<T> {
  data: T | undefined;
  error: Error | null;
  refetch: () => unknown;
}

/** Ready shows what was read, or that it is on its way, or why not. */
export function Ready<T>({ of, children }: { of: Reading<T>; children: (data: T) => ReactNode }) {
  if (of.data !== undefined) return <>{children(of.data)}</>;
  if (of.error) return <Fault error={of.error} retry={() => void of.refetch()} />;
  return <Loading />;
}

/** Missing is a page for an address that no page has. */
export function Missing() {
  const t = words.use();
  return (
    <Page title={t.missing}>
      <Text>{t.missingMore}</Text>
      <Anchor component={Link} href="/">
        {t.toStart}
      </Anchor>
    </Page>
  );
}

/** Empty is a place where nothing is yet. */
export function Empty({ children }: { children: ReactNode }) {
  return (
    <Center p="xl">
      <Text c="dimmed">{children}</Text>
    </Center>
  );
}
