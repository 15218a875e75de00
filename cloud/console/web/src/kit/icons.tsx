// The console's own icons: strokes on a grid of 24, in the colour of the text beside them. They say nothing to a screen reader: what they stand
// for is written beside them or is the button's label.
const paths = {
  overview: 'M4 4h7v7H4zM13 4h7v4h-7zM13 11h7v9h-7zM4 14h7v6H4z',
  devices: 'M5 5h14v10H5zM9 19h6M12 15v4',
  products: 'M12 3l8 4.5v9L12 21l-8-4.5v-9zM4 7.5l8 4.5 8-4.5M12 12v9',
  groups: 'M4 6h9v9H4zM11 9h9v9h-9z',
  gateways: 'M4 13h16v6H4zM8 16h.01M12 16h4M12 13V9M8 6a6 6 0 0 1 8 0M10 8.5a3 3 0 0 1 4 0',
  rules: 'M4 6h5M15 6h5M9 4v4M15 4v4M12 8v4M6 12h12M6 12v4M18 12v4M4 16h4v4H4zM16 16h4v4h-4z',
  connectors: 'M9 4v5M15 4v5M6 9h12v3a6 6 0 0 1-12 0zM12 18v3',
  ota: 'M12 4v11M8 11l4 4 4-4M5 19h14',
  logs: 'M5 5h14M5 10h14M5 15h9M5 20h6',
  files: 'M6 3h8l5 5v13H6zM14 3v5h5',
  debug: 'M9 8a3 3 0 0 1 6 0M8 8h8v6a4 4 0 0 1-8 0zM4 10h4M4 16h4M16 10h4M16 16h4M12 12v6',
  alarms: 'M6 17h12l-1.5-3V10a4.5 4.5 0 0 0-9 0v4zM10.5 20h3',
  access: 'M8 14a4 4 0 1 1 3.5-6H20v4h-2v3h-3v-3h-3.5A4 4 0 0 1 8 14zM7.5 10h.01',
  system: 'M12 9a3 3 0 1 0 0 6 3 3 0 0 0 0-6zM12 3v3M12 18v3M3 12h3M18 12h3M5.6 5.6l2.2 2.2M16.2 16.2l2.2 2.2M18.4 5.6l-2.2 2.2M7.8 16.2l-2.2 2.2',
  jobs: 'M4 5h10M4 10h10M4 15h6M17 9v11M13.5 16.5L17 20l3.5-3.5',
  sun: 'M12 8a4 4 0 1 0 0 8 4 4 0 0 0 0-8zM12 2v2M12 20v2M2 12h2M20 12h2M4.9 4.9l1.4 1.4M17.7 17.7l1.4 1.4M19.1 4.9l-1.4 1.4M6.3 17.7l-1.4 1.4',
  moon: 'M20 14.5A8 8 0 0 1 9.5 4 8 8 0 1 0 20 14.5z',
  language: 'M12 3a9 9 0 1 0 0 18 9 9 0 0 0 0-18zM3 12h18M12 3c3 3 3 15 0 18M12 3c-3 3-3 15 0 18',
  user: 'M12 4a4 4 0 1 0 0 8 4 4 0 0 0 0-8zM4 20c1-4 4-5 8-5s7 1 8 5',
  logout: 'M10 4H5v16h5M14 8l4 4-4 4M9 12h9',
  search: 'M11 4a7 7 0 1 0 0 14 7 7 0 0 0 0-14zM16 16l5 5',
  plus: 'M12 5v14M5 12h14',
  trash: 'M5 7h14M9 7V4h6v3M7 7l1 13h8l1-13',
  edit: 'M5 19l1-4L16 5l3 3L9 18z',
  copy: 'M9 9h11v11H9zM5 15H4V4h11v1',
  download: 'M12 4v10M8 10l4 4 4-4M5 19h14',
  upload: 'M12 15V5M8 9l4-4 4 4M5 19h14',
  columns: 'M4 5h16v14H4zM9.5 5v14M14.5 5v14',
  close: 'M6 6l12 12M18 6L6 18',
  left: 'M15 5l-7 7 7 7',
  right: 'M9 5l7 7-7 7',
  first: 'M18 5l-7 7 7 7M7 5v14',
  up: 'M6 15l6-6 6 6',
  down: 'M6 9l6 6 6-6',
  more: 'M5 12h.01M12 12h.01M19 12h.01',
  play: 'M7 5l12 7-12 7z',
  pause: 'M8 5v14M16 5v14',
  eye: 'M2 12c4-8 16-8 20 0-4 8-16 8-20 0zM12 9.5a2.5 2.5 0 1 0 0 5 2.5 2.5 0 0 0 0-5z',
  refresh: 'M19 8a8 8 0 1 0 1 6M20 4v5h-5',
  warning: 'M12 4l9 16H3zM12 10v4M12 17h.01',
  check: 'M5 12l5 5L20 7',
  link: 'M10 14a4 4 0 0 0 6 0l3-3a4 4 0 0 0-6-6l-1 1M14 10a4 4 0 0 0-6 0l-3 3a4 4 0 0 0 6 6l1-1',
} as const;

export type IconName = keyof typeof paths;

export function Icon({ name, size = 18 }: { name: IconName; size?: number }) {
  return (
    <svg width={size} height={size} viewBox="0 0 24 24" fill="none" stroke="currentColor" strokeWidth={1.8} strokeLinecap="round" strokeLinejoin="round" aria-hidden="true" focusable="false">
      <path d={paths[name]} />
    </svg>
  );
}
