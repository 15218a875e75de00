// Packs the build in out/ into ../dist as the hub embeds it: index.html as it is, each other file as .gz and .br. With --check it writes nothing
// and fails when dist is not the build of these sources. What is compared is what was compressed: packers differ from one Node to another.
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { brotliCompressSync, brotliDecompressSync, constants, gunzipSync, gzipSync } from 'node:zlib';

const web = dirname(dirname(fileURLToPath(import.meta.url)));
const out = join(web, 'out');
const dist = join(web, '..', 'dist');
const check = process.argv.includes('--check');

const list = (dir) =>
  existsSync(dir)
    ? readdirSync(dir, { recursive: true, withFileTypes: true })
        .filter((f) => f.isFile())
        .map((f) => relative(dir, join(f.parentPath, f.name)))
        .sort()
    : [];

// Classes of components whose styles are not in the build although the components are: src/styles.ts lacks a file.
function unstyled() {
  const folder = join(web, 'node_modules/@mantine/core/styles');
  const read = (ending) =>
    list(out)
      .filter((f) => f.endsWith(ending))
      .map((f) => readFileSync(join(out, f), 'utf8'))
      .join('\n');
  const [code, styles] = [read('.js'), read('.css')];
  return readdirSync(folder).filter((f) => {
    if (f.endsWith('.layer.css') || f === 'baseline.css') return false;
    const classes = readFileSync(join(folder, f), 'utf8').match(/m_[0-9a-f]{6,8}/g) ?? [];
    return classes.some((c) => code.includes(c) && !styles.includes(c));
  });
}

function pack() {
  rmSync(dist, { recursive: true, force: true });
  for (const name of list(out)) {
    const to = join(dist, name);
    const data = readFileSync(join(out, name));
    mkdirSync(dirname(to), { recursive: true });
    if (name === 'index.html') {
      writeFileSync(to, data);
      continue;
    }
    writeFileSync(to + '.gz', gzipSync(data, { level: 9 }));
    writeFileSync(to + '.br', brotliCompressSync(data, { params: { [constants.BROTLI_PARAM_QUALITY]: 11 } }));
  }
}

function differences() {
  const wrong = [];
  const wanted = new Set();
  for (const name of list(out)) {
    const data = readFileSync(join(out, name));
    const forms = name === 'index.html' ? { [name]: (b) => b } : { [name + '.gz']: gunzipSync, [name + '.br']: brotliDecompressSync };
    for (const [form, plain] of Object.entries(forms)) {
      wanted.add(form);
      if (!existsSync(join(dist, form))) wrong.push(`missing: ${form}`);
      else if (!plain(readFileSync(join(dist, form))).equals(data)) wrong.push(`differs: ${form}`);
    }
  }
  for (const name of list(dist)) if (!wanted.has(name)) wrong.push(`too much: ${name}`);
  return wrong;
}

function sizes() {
  const total = { gz: 0, br: 0 };
  for (const name of list(dist)) {
    const kind = name.slice(-2);
    if (kind in total) total[kind] += readFileSync(join(dist, name)).length;
  }
  console.log(`all files: ${(total.gz / 1024).toFixed(0)} KiB gzip, ${(total.br / 1024).toFixed(0)} KiB Brotli`);
}

const bare = unstyled();
if (bare.length > 0) {
  console.error('src/styles.ts lacks the styles of components that are used: ' + bare.join(', '));
  process.exit(1);
}
if (check) {
  const wrong = differences();
  if (wrong.length > 0) {
    console.error('cloud/console/dist is not the build of cloud/console/web; run make console\n  ' + wrong.join('\n  '));
    process.exit(1);
  }
} else {
  pack();
}
sizes();
