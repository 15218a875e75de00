import { ActionIcon, Group, Menu, useComputedColorScheme, useMantineColorScheme } from '@mantine/core';
import { languages, setLanguage, useLanguage, type Language } from '../kit/i18n';
import { Icon } from '../kit/icons';
import { words } from './text';

/** Preferences are the language and the colours, which the browser keeps. */
export function Preferences() {
  const t = words.use();
  const language = useLanguage();
  const { setColorScheme } = useMantineColorScheme();
  const dark = useComputedColorScheme('light') === 'dark';
  const flip = dark ? t.light : t.dark;
  return (
    <Group gap={4} wrap="nowrap">
      <Menu position="bottom-end">
        <Menu.Target>
          <ActionIcon variant="subtle" color="gray" size="lg" aria-label={t.language} title={t.language}>
            <Icon name="language" />
          </ActionIcon>
        </Menu.Target>
        <Menu.Dropdown>
          {Object.entries(languages).map(([id, name]) => (
            <Menu.Item key={id} lang={id} role="menuitemradio" aria-checked={id === language} onClick={() => setLanguage(id as Language)} leftSection={<span className="tick">{id === language && <Icon name="check" size={14} />}</span>}>
              {name}
            </Menu.Item>
          ))}
        </Menu.Dropdown>
      </Menu>
      <ActionIcon variant="subtle" color="gray" size="lg" aria-label={flip} title={flip} onClick={() => setColorScheme(dark ? 'light' : 'dark')}>
        <Icon name={dark ? 'sun' : 'moon'} />
      </ActionIcon>
    </Group>
  );
}
