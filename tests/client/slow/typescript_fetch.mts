// What a developer writes against the client of openapi-generator's typescript-fetch: compiled and run by test_generators.py.
import { Configuration, ResponseError, TasksApi, type Change, type Tombstone } from "./client/index.js";

function check(condition: boolean, message: unknown): asserts condition {
  if (!condition) {
    throw new Error(JSON.stringify(message));
  }
}

const isTombstone = (one: Change): one is Tombstone => "deleted" in one;

export async function main(url: string, token: string): Promise<void> {
  const api = new TasksApi(new Configuration({ basePath: url, accessToken: token }));
  const me = { userId: "me" };
  const milk = await api.createTask({ ...me, newTask: { title: "Buy milk", due: "2026-12-24", tags: ["shop"] } });
  check(!milk.completed && milk.version === 1 && milk.deletedAt === undefined, milk);
  check(milk.createdAt instanceof Date && !Number.isNaN(milk.createdAt.getTime()), milk);
  const listed = await api.listTasks({ ...me, limit: 10 });
  check(JSON.stringify(listed.items) === JSON.stringify([milk]), listed);

  const patch = { ...me, taskId: milk.id, ifMatch: milk.etag, taskPatch: { description: "Two bottles" } };
  const updated = await api.updateTask(patch);
  check(updated.title === "Buy milk" && updated.description === "Two bottles" && updated.version === 2, updated);
  const refused = await api.updateTask(patch).catch((error: unknown) => error);
  check(refused instanceof ResponseError && refused.response.status === 412, refused);

  const moved = await api.moveTask({ ...me, taskId: milk.id, move: { list: "shop", after: null } });
  check(moved.list === "shop" && moved.version === 3, moved);

  const { results } = await api.batchTasks({
    ...me,
    idempotencyKey: "one",
    batch: { operations: [{ op: "create", task: { title: "Buy bread" } }, { op: "delete", id: milk.id }] },
  });
  check(results.map((one) => `${one.op} ${one.task?.title}`).join() === "create Buy bread,delete undefined", results);

  const [trashed] = (await api.listTasks({ ...me, status: "deleted" })).items;
  check(trashed?.id === milk.id && trashed.purgeAt instanceof Date, trashed);
  const { items } = await api.listChanges(me);
  const [gone] = items.filter(isTombstone);
  check(items.length === 2 && gone?.id === milk.id && gone.deleted && gone.deletedAt instanceof Date, items);
  const [bread] = items.flatMap((one) => (isTombstone(one) ? [] : [one]));
  check(bread?.title === "Buy bread", items);
}
