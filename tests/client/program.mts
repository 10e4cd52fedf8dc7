// What a developer writes with the types that openapi-typescript makes: compiled and run by test_generated_client.py.
import createClient from "openapi-fetch";
import type { components, paths } from "./tasks.js";

type Task = components["schemas"]["Task"];
type Tombstone = components["schemas"]["Tombstone"];

const me = { path: { user_id: "me" } };

function check(condition: boolean, message: unknown): asserts condition {
  if (!condition) {
    throw new Error(JSON.stringify(message));
  }
}

export async function main(url: string, token: string): Promise<void> {
  const client = createClient<paths>({ baseUrl: url, headers: { Authorization: `Bearer ${token}` } });

  async function create(title: string): Promise<Task> {
    const { data, error } = await client.POST("/v1/users/{user_id}/tasks", { params: me, body: { title } });
    check(data !== undefined, error);
    return data;
  }

  async function walk(): Promise<Task[]> {
    const found: Task[] = [];
    let cursor: string | undefined;
    do {
      const query = { limit: 2, ...(cursor && { cursor }) };
      const { data, error } = await client.GET("/v1/users/{user_id}/tasks", { params: { ...me, query } });
      check(data !== undefined, error);
      check(data.items.length <= 2, data);
      found.push(...data.items);
      cursor = data.next_cursor ?? undefined;
    } while (cursor);
    return found;
  }

  async function sync(copies: Map<string, Task | Tombstone>, since?: string): Promise<string> {
    for (;;) {
      const query = since ? { since } : {};
      const { data, error } = await client.GET("/v1/users/{user_id}/changes", { params: { ...me, query } });
      check(data !== undefined, error);
      for (const item of data.items) {
        if (item.version > (copies.get(item.id)?.version ?? 0)) {
          copies.set(item.id, item);
        }
      }
      since = data.next_since;
      if (!data.has_more) {
        return since;
      }
    }
  }

  function patch(task: Task, title: string) {
    return client.PATCH("/v1/users/{user_id}/tasks/{task_id}", {
      params: { path: { user_id: "me", task_id: task.id }, header: { "If-Match": task.etag } },
      body: { title },
    });
  }

  const created = [await create("Buy milk"), await create("Buy bread"), await create("Call Bob")];
  const [milk, bread, bob] = created as [Task, Task, Task];
  check(!milk.completed && milk.description === null && milk.version === 1, milk);
  const listed = await walk();
  check(JSON.stringify(listed) === JSON.stringify(created), listed);
  const copies = new Map<string, Task | Tombstone>();
  const since = await sync(copies);
  check(copies.size === 3, [...copies]);

  const updated = await patch(milk, "Buy oat milk");
  check(updated.data?.version === 2 && updated.data.title === "Buy oat milk", updated);
  const conflict = await patch(milk, "Buy soy milk");
  check(conflict.response.status === 412 && conflict.error !== undefined, conflict);
  check("type" in conflict.error && conflict.error.type === "urn:problem:tasks:precondition-failed", conflict);
  const removed = await client.DELETE("/v1/users/{user_id}/tasks/{task_id}", {
    params: { path: { user_id: "me", task_id: bob.id } },
  });
  check(removed.response.status === 204, removed);
  const trash = await client.GET("/v1/users/{user_id}/tasks", { params: { ...me, query: { status: "deleted" } } });
  const [trashed] = trash.data?.items ?? [];
  check(trashed?.id === bob.id && trashed.purge_at !== undefined, trash);

  for (const task of [milk, bread]) {
    const moved = await client.POST("/v1/users/{user_id}/tasks/{task_id}/move", {
      params: { path: { user_id: "me", task_id: task.id } },
      body: { list: "shop", after: null },
    });
    check(moved.data?.list === "shop" && moved.data.position !== null, moved);
  }
  const shop = await client.GET("/v1/users/{user_id}/tasks", { params: { ...me, query: { list: "shop" } } });
  check(shop.data?.items.map((task) => task.id).join() === [bread.id, milk.id].join(), shop);

  await sync(copies, since);
  const [newMilk, newBread, noBob] = [milk, bread, bob].map((task) => copies.get(task.id));
  check(newMilk !== undefined && "title" in newMilk && newMilk.title === "Buy oat milk", newMilk);
  check(newBread?.version === 2, newBread);
  check(noBob !== undefined && "deleted" in noBob && noBob.version === 2, noBob);
}

// The types refuse what the API refuses.
export function refused(client: ReturnType<typeof createClient<paths>>): void {
  // @ts-expect-error - a task needs a title
  void client.POST("/v1/users/{user_id}/tasks", { params: me, body: {} });
  // @ts-expect-error - there is no such status
  void client.GET("/v1/users/{user_id}/tasks", { params: { ...me, query: { status: "done" } } });
  // @ts-expect-error - an anchor is an id
  void client.POST("/v1/users/{user_id}/tasks/{task_id}/move", { params: { path: { user_id: "me", task_id: "x" } }, body: { after: 1 } });
  // @ts-expect-error - a batch needs a key
  void client.POST("/v1/users/{user_id}/tasks/batch", { params: me, body: { operations: [] } });
}
