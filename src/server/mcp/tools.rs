//! The tools: what they are, and a call of one.

use std::sync::Arc;

use rmcp::{
    ErrorData, RoleServer, ServerHandler,
    handler::server::tool::schema_for_input,
    model::{
        CallToolRequestParams, CallToolResponse, CallToolResult, ContentBlock, Implementation,
        JsonObject, ListToolsResult, PaginatedRequestParams, ServerCapabilities, ServerConfig,
        Tool, ToolAnnotations,
    },
    service::RequestContext,
};
use schemars::JsonSchema;
use serde_json::Value;

use super::asking::{self, Ask, Compare};
use crate::server::{App, caller::Caller, error::AppError, extract::typed};

/// So many names of models stand in the tools' descriptions.
const MOST_NAMES: usize = 40;

const INSTRUCTIONS: &str = "Chorus puts a question to several language models at once and fuses \
    their answers into one. Use `ask` for a second opinion on what is hard or risky, and `compare` \
    to see what single models say. The models see the question and its files, and nothing else.";

/// What a client of the protocol can do, as the caller that it is.
#[derive(Clone)]
pub(super) struct Tools {
    app: App,
    /// Of the request; none: whoever started this process, with each call.
    caller: Option<Caller>,
}

impl Tools {
    pub(super) fn over_http(app: App, caller: Caller) -> Self {
        Self { app, caller: Some(caller) }
    }

    pub(super) fn over_pipes(app: App) -> Self {
        Self { app, caller: None }
    }

    fn caller(&self) -> Caller {
        self.caller.clone().unwrap_or_else(Caller::local)
    }

    fn all(&self) -> Vec<Tool> {
        let caller = self.caller();
        let names = self.app.names(&caller);
        let shown = names.iter().take(MOST_NAMES).copied().collect::<Vec<_>>().join(", ");
        let ask = "Ask a panel of language models, whose answers are judged and fused into one; or \
                   one model alone. Takes longer and costs more than a single model.";
        let compare =
            "Ask several models the same question, each alone, and get all their answers.";
        vec![
            tool::<Ask>("ask", "Ask Chorus", ask, &shown),
            tool::<Compare>("compare", "Compare models", compare, &shown),
        ]
    }

    async fn called(
        &self,
        request: CallToolRequestParams,
        context: &RequestContext<RoleServer>,
        caller: &Caller,
    ) -> Result<CallToolResult, AppError> {
        let arguments = Value::Object(request.arguments.unwrap_or_default());
        match &*request.name {
            "compare" => asking::compare(&self.app, caller, typed(arguments, "")?, context).await,
            _ => asking::ask(&self.app, caller, typed(arguments, "")?, context).await,
        }
    }
}

fn tool<T: JsonSchema + 'static>(
    name: &'static str,
    title: &str,
    about: &str,
    names: &str,
) -> Tool {
    let schema: Arc<JsonObject> = schema_for_input::<T>().unwrap_or_default();
    // It asks others, and changes nothing.
    let hints = ToolAnnotations::new().read_only(true).destructive(false).open_world(true);
    let about = format!("{about} Models to name: {names}.");
    Tool::new(name, about, schema).with_title(title).with_annotations(hints)
}

impl ServerHandler for Tools {
    fn get_info(&self) -> ServerConfig {
        ServerConfig::new(ServerCapabilities::builder().enable_tools().build())
            .with_server_info(Implementation::new("chorus", env!("CARGO_PKG_VERSION")))
            .with_instructions(INSTRUCTIONS)
    }

    async fn list_tools(
        &self,
        _: Option<PaginatedRequestParams>,
        _: RequestContext<RoleServer>,
    ) -> Result<ListToolsResult, ErrorData> {
        Ok(ListToolsResult::with_all_items(self.all()))
    }

    /// What goes wrong is a result that says so, which the model reads: of an error of the protocol
    /// clients show it nothing.
    async fn call_tool(
        &self,
        request: CallToolRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<CallToolResponse, ErrorData> {
        if !matches!(&*request.name, "ask" | "compare") {
            return Err(ErrorData::invalid_params("no such tool; there are ask and compare", None));
        }
        let caller = self.caller();
        let called = tokio::select! {
            biased;
            () = context.ct.cancelled() => return Err(ErrorData::internal_error("cancelled", None)),
            () = caller.cancel.cancelled() => Err(AppError::Cancelled),
            () = self.app.lifecycle.ending() => Err(AppError::ShuttingDown),
            called = self.called(request, &context, &caller) => called,
        };
        let result = called.unwrap_or_else(|error| {
            let words = format!("{}: {error}", error.code());
            if error.is_failure() {
                caller.log.failed(Arc::new(error));
            }
            CallToolResult::error(vec![ContentBlock::text(words)])
        });
        Ok(result.into())
    }
}
