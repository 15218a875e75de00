import { words } from './text';

export const roles = ['owner', 'admin', 'operator', 'engineer', 'viewer'] as const;
export type Role = (typeof roles)[number];

/** useRoleName names a role; one that this console does not know keeps its own name. */
export function useRoleName(): (role: string) => string {
  const t = words.use();
  return (role) => ((roles as readonly string[]).includes(role) ? t[role as Role] : role);
}
