import { memo, useState } from 'react';
import { words } from './text';

const shown = 100;

/** JsonView is a JSON value as a tree that opens. What it shows is text, whatever a device put into it. */
export const JsonView = memo(function JsonView({ value, label, open = 2 }: { value: unknown; label?: string; open?: number }) {
  return (
    <div className="json" role="group" aria-label={label}>
      <Node value={value} open={open} />
    </div>
  );
});

function Node({ name, value, open }: { name?: string; value: unknown; open: number }) {
  const head = name === undefined ? null : <span className="json-key">{name}: </span>;
  if (value === null || typeof value !== 'object') {
    return (
      <div>
        {head}
        <span className={`json-${value === null ? 'null' : typeof value}`}>{JSON.stringify(value) ?? 'undefined'}</span>
      </div>
    );
  }
  const entries = Object.entries(value);
  const [left, right] = Array.isArray(value) ? ['[', ']'] : ['{', '}'];
  if (entries.length === 0) return <div>{head}{left + right}</div>;
  return (
    <details open={open > 0}>
      <summary>
        {head}
        {left}
        <span className="dim">{entries.length}</span>
        {right}
      </summary>
      <div className="json-inner">
        <Entries entries={entries} open={open - 1} />
      </div>
    </details>
  );
}

function Entries({ entries, open }: { entries: [string, unknown][]; open: number }) {
  const t = words.use();
  const [count, setCount] = useState(shown);
  return (
    <>
      {entries.slice(0, count).map(([k, v]) => (
        <Node key={k} name={k} value={v} open={open} />
      ))}
      {entries.length > count && (
        <button type="button" className="plain" onClick={() => setCount(count + 10 * shown)}>
          {t.more(entries.length - count)}
        </button>
      )}
    </>
  );
}
