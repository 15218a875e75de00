import { Badge } from '@mantine/core';
import type { Schemas } from '../../api/client';
import { words } from './text';

export const severities: Schemas['AlarmSeverity'][] = ['critical', 'major', 'minor', 'warning'];

const severityColours = { critical: 'red', major: 'grape', minor: 'blue', warning: 'gray' } as const;

/** SeverityBadge says how bad it is: in words, the colour only helps. */
export function SeverityBadge({ of }: { of: Schemas['AlarmSeverity'] }) {
  const t = words.use();
  return (
    <Badge variant="light" color={severityColours[of]} className="badge" data-severity={of}>
      {t[of]}
    </Badge>
  );
}

const stateColours = { open: 'red', acknowledged: 'blue', cleared: 'green' } as const;

/** AlarmStateBadge says whether it goes on, and whether somebody looks after it. */
export function AlarmStateBadge({ of }: { of: Schemas['AlarmState'] }) {
  const t = words.use();
  return (
    <Badge variant="light" color={stateColours[of]} className="badge" data-alarm-state={of}>
      {t[of]}
    </Badge>
  );
}
