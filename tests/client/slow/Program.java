// What a developer writes against the client of openapi-generator's java: compiled and run by test_generators.py.
import com.fasterxml.jackson.databind.DeserializationFeature;
import java.util.List;
import java.util.Objects;
import org.openapitools.client.ApiClient;
import org.openapitools.client.ApiException;
import org.openapitools.client.api.TasksApi;
import org.openapitools.client.model.Batch;
import org.openapitools.client.model.BatchOperation;
import org.openapitools.client.model.BatchResult;
import org.openapitools.client.model.Change;
import org.openapitools.client.model.CreateOperation;
import org.openapitools.client.model.DeleteOperation;
import org.openapitools.client.model.Move;
import org.openapitools.client.model.NewTask;
import org.openapitools.client.model.Task;
import org.openapitools.client.model.TaskPatch;
import org.openapitools.client.model.Tombstone;

public class Program {
    private static void check(boolean condition, Object message) {
        if (!condition) {
            throw new AssertionError(message);
        }
    }

    private static List<Task> list(TasksApi api, String status) throws ApiException {
        return api.listTasks("me", null, status, null, null, null, null, null, null, 10, null).getItems();
    }

    public static void main(String[] arguments) throws ApiException {
        ApiClient client = new ApiClient();
        client.updateBaseUri(arguments[0]);
        // With the default, the client takes every task for a tombstone, too, and refuses both.
        client.setObjectMapper(
            ApiClient.createDefaultObjectMapper().enable(DeserializationFeature.FAIL_ON_UNKNOWN_PROPERTIES)
        );
        client.setRequestInterceptor(request -> request.header("Authorization", "Bearer " + arguments[1]));
        TasksApi api = new TasksApi(client);
        Task milk = api.createTask("me", new NewTask().title("Buy milk").due("2026-12-24").addTagsItem("shop"), null, null);
        check(!milk.getCompleted() && milk.getVersion() == 1 && milk.getDeletedAt() == null, milk);
        check(list(api, "all").equals(List.of(milk)), milk);

        TaskPatch patch = new TaskPatch().description("Two bottles");
        Task updated = api.updateTask("me", milk.getId(), patch, null, milk.getEtag(), null);
        check(Objects.equals(updated.getDescription(), "Two bottles") && updated.getVersion() == 2, updated);
        try {
            api.updateTask("me", milk.getId(), patch, null, milk.getEtag(), null);
            throw new AssertionError("an old ETag was taken");
        } catch (ApiException refused) {
            check(refused.getCode() == 412, refused);
        }

        // The client does not send null, so it moves a task after another one, or before it.
        Task bread = api.createTask("me", new NewTask().title("Buy bread")._list("shop"), null, null);
        Task moved = api.moveTask("me", milk.getId(), new Move()._list("shop").after(bread.getId()), null, null, null, null);
        check(Objects.equals(moved.getList(), "shop") && moved.getVersion() == 3, moved);

        CreateOperation create = new CreateOperation().op(CreateOperation.OpEnum.CREATE).task(new NewTask().title("Call Bob"));
        DeleteOperation delete = new DeleteOperation().op(DeleteOperation.OpEnum.DELETE).id(milk.getId());
        Batch batch = new Batch().addOperationsItem(new BatchOperation(create)).addOperationsItem(new BatchOperation(delete));
        List<BatchResult> results = api.batchTasks("me", "one", batch, null).getResults();
        check(results.get(0).getTask() != null && results.get(1).getTask() == null, results);

        List<Task> trash = list(api, "deleted");
        check(trash.size() == 1 && trash.get(0).getId().equals(milk.getId()) && trash.get(0).getPurgeAt() != null, trash);
        int tasks = 0;
        int tombstones = 0;
        for (Change change : api.listChanges("me", null, null, null).getItems()) {
            if (change.getActualInstance() instanceof Tombstone gone) {
                check(gone.getDeleted() && gone.getId().equals(milk.getId()), gone);
                tombstones++;
            } else {
                check(change.getTask().getTitle() != null, change);
                tasks++;
            }
        }
        check(tasks == 2 && tombstones == 1, tasks);
    }
}
