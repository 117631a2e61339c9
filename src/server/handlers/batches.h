#pragma once

#include "server/batches/batch_runner.h"
#include "server/router.h"

namespace onnxlocal {

// Message Batches, each by the client that made it. Worker.

/// POST /v1/messages/batches: the requests are on the disk when it answers.
Reply create_batch(BatchRunner& batches, const HttpRequest& request, const RequestContext& context);
/// GET /v1/messages/batches, by pages, newest first.
Reply list_batches(BatchRunner& batches, const HttpRequest& request, const RequestContext& context);
/// GET /v1/messages/batches/{id}
Reply retrieve_batch(BatchRunner& batches, const HttpRequest& request,
                     const RequestContext& context);
/// POST /v1/messages/batches/{id}/cancel
Reply cancel_batch(BatchRunner& batches, const HttpRequest& request, const RequestContext& context);
/// DELETE /v1/messages/batches/{id}, once it has ended.
Reply delete_batch(BatchRunner& batches, const HttpRequest& request, const RequestContext& context);
/// GET /v1/messages/batches/{id}/results: a JSON line for each request, page by page.
Reply stream_batch_results(BatchRunner& batches, const HttpRequest& request,
                           const RequestContext& context);

}  // namespace onnxlocal
