// Who is logged in, and what they may do in the project that is open.
import { createContext, useContext } from 'react';
import { api, take, type Schemas } from '../api/client';
import { UnreachableError } from '../api/problem';

export interface HubState {
  setUp: boolean;
  oidc: boolean;
  https: number;
  version: string;
}

/** hubState is what the hub tells before anybody has logged in. */
export async function hubState(): Promise<HubState> {
  const answer = await fetch('/console/state', { cache: 'no-store' }).catch(() => undefined);
  if (!answer?.ok) throw new UnreachableError();
  return answer.json();
}

/** whoAmI is the caller, null when nobody is logged in. */
export async function whoAmI(): Promise<Schemas['Me'] | null> {
  const { data, response } = await api.GET('/v1/me');
  if (data) return data;
  if (response.status === 401) return null;
  return take(api.GET('/v1/me'));
}

export interface Session {
  me: Schemas['Me'];
  hub: HubState;
  project: string;
  projects: Schemas['Project'][];
  /** may tells whether the reader has a permission in this project, on a product if one is named. */
  may: (permission: string, product?: string) => boolean;
  /** mayHub tells it of the hub as a whole. */
  mayHub: (permission: string) => boolean;
  logout: () => Promise<void>;
  /** refresh asks anew who is logged in. */
  refresh: () => void;
}

/** mayOf is what a caller may do in a project. */
export function mayOf(me: Schemas['Me'], project: string): Session['may'] {
  const mine = me.projects.find((p) => p.id === project);
  return (permission, product) => {
    if (me.hub.includes(permission) || mine?.permissions.includes(permission)) return true;
    const on = mine?.products ?? {};
    return product ? (on[product]?.includes(permission) ?? false) : Object.values(on).some((list) => list.includes(permission));
  };
}

export const SessionContext = createContext<Session | null>(null);

/** useSession is the session; only below the frame. */
export function useSession(): Session {
  const s = useContext(SessionContext);
  if (!s) throw new Error('there is no session here');
  return s;
}
