// What a browser says of itself, in short. All of them claim to be others, so that the order counts.
const browsers: [RegExp, string][] = [
  [/\bEdg(?:e|A|iOS)?\/(\d+)/, 'Edge'],
  [/\bOPR\/(\d+)/, 'Opera'],
  [/\b(?:Firefox|FxiOS)\/(\d+)/, 'Firefox'],
  [/\b(?:HeadlessChrome|Chrome|CriOS|Chromium)\/(\d+)/, 'Chrome'],
  [/\bVersion\/(\d+)[\d.]* (?:Mobile\/\w+ )?Safari\//, 'Safari'],
];
const systems: [RegExp, string][] = [
  [/\bAndroid\b/, 'Android'],
  [/\b(?:iPhone|iPad|iPod)\b/, 'iOS'],
  [/\bWindows\b/, 'Windows'],
  [/\bMac OS X\b|\bMacintosh\b/, 'macOS'],
  [/\bCrOS\b/, 'ChromeOS'],
  [/\bLinux\b/, 'Linux'],
];

/** browserOf is "Firefox 140 · Linux" of a User-Agent; what is none of a browser stays as it is. */
export function browserOf(agent: string): string {
  for (const [form, name] of browsers) {
    const version = form.exec(agent)?.[1];
    if (version === undefined) continue;
    const system = systems.find(([s]) => s.test(agent))?.[1];
    return [`${name} ${version}`, system].filter(Boolean).join(' · ');
  }
  return agent;
}
