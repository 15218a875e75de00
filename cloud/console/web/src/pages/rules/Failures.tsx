import { Badge, Group, Paper, Stack, Text } from '@mantine/core';
import { Link } from 'wouter';
import type { Schemas } from '../../api/client';
import { Facts } from '../../kit/Facts';
import { numeral } from '../../kit/i18n';
import { Lines } from '../../kit/Payload';
import { Empty, Ready } from '../../kit/Page';
import { Time } from '../../kit/Time';
import { useStats } from './Metrics';
import { words } from './text';

/** Kinds after which the rule has done nothing with the message. */
const final = new Set(['type_clash', 'limit', 'unavailable', 'not_json']);

/** Failures is what went wrong with messages, by kind, each with the message that is kept as its sample. */
export function Failures({ rule }: { rule: Schemas['Rule'] }) {
  const t = words.use();
  const read = useStats(rule.id);
  return (
    <Ready of={read}>
      {(stats) =>
        stats.faults.length === 0 ? (
          <Empty>{t.noFaults}</Empty>
        ) : (
          <Stack>
            {stats.faults.map((f) => (
              <Paper key={f.kind} withBorder p="md" data-fault={f.kind}>
                <Stack gap="xs">
                  <Group gap="xs">
                    <Text fw={600}>{t[`fault_${f.kind}`]}</Text>
                    <Badge variant="default">{numeral(f.count)}</Badge>
                    <Badge variant="light" color={final.has(f.kind) ? 'red' : 'gray'} className="badge">
                      {final.has(f.kind) ? t.messageLeft : t.wentOn}
                    </Badge>
                  </Group>
                  <Lines of={f.text} />
                  <Facts
                    of={[
                      [t.sample, f.messageID && <Link className="row-link" href={`/logs/${f.messageID}`}>{f.messageID}</Link>],
                      [t.topic, f.topic],
                      [t.when, <Time key="at" at={f.at} exact />],
                    ]}
                  />
                </Stack>
              </Paper>
            ))}
          </Stack>
        )
      }
    </Ready>
  );
}
