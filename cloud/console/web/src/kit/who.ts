import { api, take } from '../api/client';
import { useSession } from '../app/session';
import { useRead } from './data';

/** useWho names the caller that the hub knows as user:ID, as far as the reader may know it. */
export function useWho(): (caller?: string) => string | undefined {
  const { me, may, project } = useSession();
  const members = useRead(['members', 'names'], (signal) => take(api.GET('/v1/projects/{projectID}/members', { params: { path: { projectID: project } }, signal })), may('user.read'));
  return (caller) => {
    const id = caller?.replace(/^user:/, '');
    if (id === caller) return caller;
    if (me.kind === 'user' && id === me.id) return me.name;
    return members.data?.items.find((m) => m.user === id)?.login ?? caller;
  };
}
