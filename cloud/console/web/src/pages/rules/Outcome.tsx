import { Alert, Badge, Code, Group, Stack, Text } from '@mantine/core';
import type { ReactNode } from 'react';
import type { Schemas } from '../../api/client';
import { CopyText } from '../../kit/CopyText';
import { bytes } from '../../kit/i18n';
import { JsonView } from '../../kit/JsonView';
import { Lines, Payload } from '../../kit/Payload';
import { words } from './text';

type Outcome = Schemas['RuleOutcome'];
type Term = Schemas['RuleTerm'];

const stages: Outcome['stage'][] = ['topic', 'decode', 'where', 'select', 'actions'];

/** Outcome is the way of a message through a rule, with what it was at each stage. */
export function Outcome({ outcome }: { outcome: Outcome }) {
  const t = words.use();
  const end = stages.indexOf(outcome.stage);
  const state = (at: number) => (at < end || (at === end && outcome.stage === 'actions') ? 'passed' : at === end ? 'ended' : 'unreached');
  return (
    <ol style={{ margin: 0, paddingInlineStart: '1.25rem' }} data-outcome={outcome.stage}>
      <Stage name={`FROM · ${t.stageTopic}`} state={state(0)}>
        <Text size="sm" className="wrap">
          {outcome.message.topic} {outcome.filter && <Code>{outcome.filter}</Code>}
        </Text>
      </Stage>
      <Stage name={t.stageDecode} state={state(1)}>
        <Message of={outcome.message} />
      </Stage>
      <Stage name="WHERE" state={state(2)}>
        {outcome.where ? <Condition term={outcome.where} /> : end > 2 && <Text size="sm" c="dimmed">{t.noCondition}</Text>}
        {outcome.stage === 'where' && <Problem of={outcome.error} />}
      </Stage>
      <Stage name="SELECT" state={state(3)}>
        <Fields of={outcome.fields ?? []} />
        {outcome.stage === 'select' && <Problem of={outcome.error} />}
      </Stage>
      <Stage name={t.stageActions} state={state(4)}>
        <Results outcome={outcome} />
      </Stage>
      {outcome.faults.map((f, i) => (
        <li key={i}>
          <Text size="sm" c="var(--mantine-color-orange-light-color)">
            {t.noticed}: {placeOf(f)}
          </Text>
        </li>
      ))}
      {outcome.error && outcome.stage !== 'where' && outcome.stage !== 'select' && <Problem of={outcome.error} />}
    </ol>
  );
}

const placeOf = (f: Schemas['TrialFault']) => [f.line && `${f.line}:${f.column ?? 1}`, f.reason].filter(Boolean).join(' ');

function Problem({ of }: { of?: Schemas['TrialFault'] }) {
  const t = words.use();
  if (!of) return null;
  return (
    <Alert color="red" mt="xs">
      <span className="wrap">{of.line ? t.at(of.line, of.column ?? 1, of.reason) : of.reason}</span>
    </Alert>
  );
}

function Message({ of }: { of: Schemas['TriedMessage'] }) {
  const t = words.use();
  return (
    <Stack gap={4}>
      <Text size="sm" c="dimmed">
        {[of.format, `QoS ${of.qos}`, bytes(of.size), of.messageID].filter(Boolean).join(' · ')}
      </Text>
      {of.payload !== undefined ? <JsonView value={of.payload} open={5} label={t.payload} /> : of.payloadBase64 && <Payload base64={of.payloadBase64} label={t.payload} />}
    </Stack>
  );
}

/** Condition is an expression with its value, and below it what it is made of. */
function Condition({ term }: { term: Term }) {
  return (
    <div>
      <Text size="sm" component="div" className="wrap">
        <Code>{term.expr}</Code> {'='} {term.truth ? <Truth of={term.truth} /> : <Code>{term.value}</Code>}
      </Text>
      {term.terms && (
        <div style={{ paddingInlineStart: '1.25rem' }}>
          {term.terms.map((inner, i) => (
            <Condition key={i} term={inner} />
          ))}
        </div>
      )}
    </div>
  );
}

function Truth({ of }: { of: string }) {
  return (
    <Badge size="sm" variant="light" color={of === 'true' ? 'green' : of === 'false' ? 'red' : 'yellow'} className="badge">
      {of}
    </Badge>
  );
}

function Fields({ of }: { of: Term[] }) {
  return (
    <>
      {of.map((f, i) => (
        <Text key={i} size="sm" component="div" className="wrap">
          <Code>{f.name ?? f.expr}</Code> {'='} <Code>{f.value ?? ''}</Code>
        </Text>
      ))}
    </>
  );
}

function Results({ outcome }: { outcome: Outcome }) {
  const t = words.use();
  return (
    <Stack gap="sm">
      {outcome.results.map((r) => (
        <div key={r.index} data-result>
          <Text size="sm" fw={500}>
            {t.result(r.index + 1)}
          </Text>
          {r.valueBase64 ? <Payload base64={r.valueBase64} label={t.result(r.index + 1)} /> : <JsonView value={r.value} open={5} label={t.result(r.index + 1)} />}
          {r.actions.map((a, i) => (
            <Sent key={i} action={a} />
          ))}
        </div>
      ))}
      {outcome.moreResults ? <Text size="sm">{t.moreResults(outcome.moreResults)}</Text> : null}
    </Stack>
  );
}

function Sent({ action: a }: { action: Schemas['TrialAction'] }) {
  const t = words.use();
  return (
    <Stack gap={4} mt="xs" ps="md">
      <Group gap="xs">
        <Badge variant="default" className="badge">
          {a.kind}
        </Badge>
        {a.target && <CopyText value={a.target} />}
      </Group>
      {a.headers?.map((h) => (
        <Text key={h} size="xs" ff="monospace" className="wrap">
          {h}
        </Text>
      ))}
      {a.statement && <Lines of={a.statement + (a.truncated ? ' …' : '')} />}
      {a.args && a.args.length > 0 && <Code block>{JSON.stringify(a.args)}</Code>}
      {a.note && (
        <Text size="sm" c="dimmed">
          {a.note}
        </Text>
      )}
      {a.error && (
        <Alert color={a.wouldWait ? 'yellow' : 'red'} title={a.wouldWait ? t.wouldWait : t.wouldDie}>
          <span className="wrap">{a.error}</span>
        </Alert>
      )}
    </Stack>
  );
}

function Stage({ name, state, children }: { name: string; state: 'passed' | 'ended' | 'unreached'; children?: ReactNode }) {
  const t = words.use();
  const colours = { passed: 'green', ended: 'red', unreached: 'gray' } as const;
  return (
    <li data-stage={state} style={{ marginBottom: '0.75rem' }}>
      <Group gap="xs" mb={4}>
        <Text fw={600} size="sm">
          {name}
        </Text>
        <Badge size="sm" variant="light" color={colours[state]} className="badge">
          {t[state]}
        </Badge>
      </Group>
      {children}
    </li>
  );
}
