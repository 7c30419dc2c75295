// What the service says, and when it has something new to say.

export async function ask(path) {
  const answer = await fetch(path, { headers: { accept: "application/json" } });
  const body = await answer.json().catch(() => ({}));
  if (!answer.ok) throw new Error(body.error ?? `the service answered ${answer.status}`);
  return body;
}

// Gives a command; the token stays in this page's memory.
export async function order(path, token, body) {
  const answer = await fetch(path, {
    method: "POST",
    headers: { authorization: `Bearer ${token}`, "content-type": "application/json" },
    body: JSON.stringify(body),
  });
  const said = await answer.json().catch(() => ({}));
  if (!answer.ok) throw new Error(said.error ?? `the service answered ${answer.status}`);
  return said;
}

// Calls `changed` when there is news, at most once a second and never twice at a time; `state`
// with "live" or "away". After a break everything is asked anew: nothing depends on a missed event.
// What the page shows when this begins was asked just before.
export function listen(changed, state) {
  const EVERY = 1000;
  let last = performance.now();
  let busy = false;
  let wanted = false;
  let timer = null;
  const run = async () => {
    timer = null;
    if (busy || document.hidden) { wanted = true; return; }
    busy = true;
    wanted = false;
    last = performance.now();
    await changed();
    busy = false;
    if (wanted) soon();
  };
  const soon = () => { timer ??= setTimeout(run, Math.max(0, last + EVERY - performance.now())); };
  document.addEventListener("visibilitychange", () => { if (wanted && !document.hidden) soon(); });
  const source = new EventSource("/api/v1/events");
  source.addEventListener("open", () => state("live"));
  source.addEventListener("state", soon);
  source.addEventListener("error", () => {
    state("away");
    if (source.readyState === EventSource.CLOSED) setTimeout(() => listen(changed, state), 5000);
  });
  addEventListener("pagehide", () => source.close());
  return soon;
}
