// Whether the hub answers. When a request or a stream finds that it does not, its /readyz is asked until it is back; then everything
// that is on the page is read anew. While all is well nothing is asked.

type Listener = () => void;

const first = 500;
const longest = 5_000;

class Connection {
  #up = true;
  #listeners = new Set<Listener>();
  #back = new Set<Listener>();

  get up() {
    return this.#up;
  }

  subscribe = (told: Listener) => {
    this.#listeners.add(told);
    return () => void this.#listeners.delete(told);
  };

  /** onBack is told each time when the hub is there again. */
  onBack(told: Listener) {
    this.#back.add(told);
    return () => void this.#back.delete(told);
  }

  lost() {
    if (!this.#up) return;
    this.#set(false);
    void this.#wait();
  }

  /** again says that the hub was away for so short a time that nobody asked it for something. */
  again() {
    if (this.#up) for (const told of this.#back) told();
  }

  async #wait() {
    for (let pause = first; ; pause = Math.min(pause * 1.6, longest)) {
      await new Promise((done) => setTimeout(done, pause * (0.8 + 0.4 * Math.random())));
      const answer = await fetch('/readyz', { cache: 'no-store' }).catch(() => undefined);
      if (answer?.ok) break;
    }
    this.#set(true);
    for (const told of this.#back) told();
  }

  #set(up: boolean) {
    this.#up = up;
    for (const told of this.#listeners) told();
  }
}

export const connection = new Connection();
