// What a developer writes against the schemas of openapi-zod-client: compiled and run by test_generators.py.
import { isAxiosError } from "axios";
import { createApiClient, schemas } from "./client.mjs";

function check(condition: boolean, message: unknown): asserts condition {
  if (!condition) {
    throw new Error(JSON.stringify(message));
  }
}

export async function main(url: string, token: string): Promise<void> {
  // Every response is parsed by its schema, and so is every body.
  const client = createApiClient(url, { axiosConfig: { headers: { Authorization: `Bearer ${token}` } } });
  const me = { user_id: "me" };
  const milk = await client.create_task({ title: "Buy milk", due: "2026-12-24", tags: ["shop"] }, { params: me });
  check(!milk.completed && milk.version === 1 && milk.deleted_at === undefined, milk);
  const listed = await client.list_tasks({ params: me, queries: { limit: 10 } });
  check(JSON.stringify(listed.items) === JSON.stringify([milk]), listed);

  const one = { params: { ...me, task_id: milk.id } };
  const patch = () => client.update_task({ description: "Two bottles" }, { ...one, headers: { "If-Match": milk.etag } });
  const updated = await patch();
  check(updated.title === "Buy milk" && updated.description === "Two bottles" && updated.version === 2, updated);
  const refused = await patch().catch((error: unknown) => error);
  check(isAxiosError(refused) && refused.response?.status === 412, refused);

  const moved = await client.move_task({ list: "shop", after: null }, one);
  check(moved.list === "shop" && moved.version === 3, moved);

  const { results } = await client.batch_tasks(
    { operations: [{ op: "create", task: { title: "Buy bread" } }, { op: "delete", id: milk.id }] },
    { params: me, headers: { "Idempotency-Key": "one" } },
  );
  check(results.map((one) => `${one.op} ${one.task?.title}`).join() === "create Buy bread,delete undefined", results);

  const [trashed] = (await client.list_tasks({ params: me, queries: { status: "deleted" } })).items;
  check(trashed?.id === milk.id && trashed.purge_at !== undefined, trashed);
  const { items } = await client.list_changes({ params: me });
  const [gone] = items.flatMap((one) => ("deleted" in one ? [one] : []));
  check(items.length === 2 && gone?.id === milk.id && gone.deleted === true, items);
  const [bread] = items.flatMap((one) => ("title" in one ? [one] : []));
  check(bread?.title === "Buy bread", items);

  // The schemas refuse what the API refuses.
  const { NewTask, Batch } = schemas;
  check(!NewTask.safeParse({ title: "x", tags: ["\u0007"] }).success, "a control character");
  check(!Batch.safeParse({ operations: [{ op: "burn", id: milk.id }] }).success, "an unknown operation");
}
