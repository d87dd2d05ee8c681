//! The protocol library's server interface over a [`ToolSet`].

use std::sync::Arc;

use rmcp::model::{
    CacheScope, CallToolRequestParams, CallToolResponse, CallToolResult, ErrorData, Implementation, ListToolsResult,
    PaginatedRequestParams, ProtocolVersion, ServerCapabilities, ServerConfig, Tool, ToolAnnotations,
};
use rmcp::service::RequestContext;
use rmcp::{RoleServer, ServerHandler};

use super::tool::{Arguments, Effect, ToolDescription, ToolSet, unknown_tool};

/// How a server presents itself to clients.
#[derive(Clone, Debug)]
pub struct ServerCard {
    /// Product name.
    pub name: &'static str,
    /// Version of the program.
    pub version: &'static str,
    /// A few sentences that tell a language model what the server is good for.
    pub instructions: &'static str,
}

/// Time for which a client may keep the tool list, in milliseconds: it changes only with the program.
const TOOLS_FRESH_MS: u64 = 3_600_000;

/// Answers one client; cheap to clone.
#[derive(Clone)]
pub struct Handler {
    card: Arc<ServerCard>,
    tools: Arc<dyn ToolSet>,
    listed: Arc<[Tool]>,
}

impl Handler {
    /// Serves `tools` under the name on `card`.
    #[must_use]
    pub fn new(card: ServerCard, tools: Arc<dyn ToolSet>) -> Self {
        let listed = tools.tools().iter().map(listed).collect();
        Self { card: Arc::new(card), tools, listed }
    }

    pub(crate) fn tools(&self) -> &Arc<dyn ToolSet> {
        &self.tools
    }
}

fn listed(tool: &ToolDescription) -> Tool {
    let annotations = match tool.effect {
        Effect::Reads => ToolAnnotations::new().read_only(true),
        Effect::AddsOnce => ToolAnnotations::new().read_only(false).destructive(false).idempotent(true),
    };
    Tool::new(tool.name, tool.description, Arc::clone(&tool.input))
        .with_raw_output_schema(Arc::clone(&tool.output))
        .with_annotations(annotations.open_world(false))
}

impl ServerHandler for Handler {
    fn get_info(&self) -> ServerConfig {
        ServerConfig::new(ServerCapabilities::builder().enable_tools().build())
            .with_protocol_version(ProtocolVersion::V_2025_11_25)
            .with_server_info(Implementation::new(self.card.name, self.card.version))
            .with_instructions(self.card.instructions)
    }

    fn get_tool(&self, name: &str) -> Option<Tool> {
        self.listed.iter().find(|tool| tool.name == name).cloned()
    }

    async fn list_tools(
        &self,
        _request: Option<PaginatedRequestParams>,
        context: RequestContext<RoleServer>,
    ) -> Result<ListToolsResult, ErrorData> {
        let mut result = ListToolsResult::with_all_items(self.listed.to_vec());
        let current = context
            .protocol_version()
            .is_some_and(|version| version.as_str() >= ProtocolVersion::V_2026_07_28.as_str());
        if current {
            result.ttl_ms = Some(TOOLS_FRESH_MS);
            result.cache_scope = Some(CacheScope::Public);
        }
        Ok(result)
    }

    async fn call_tool(
        &self,
        request: CallToolRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<CallToolResponse, ErrorData> {
        let Some(tool) = self.tools.find(&request.name) else {
            let (message, data) = unknown_tool(self.tools.as_ref(), &request.name);
            return Err(ErrorData::invalid_params(message, Some(data)));
        };
        let arguments = Arguments::Parsed(request.arguments.unwrap_or_default());
        let answer = tokio::select! {
            answer = self.tools.call(tool.name, arguments) => answer,
            () = context.ct.cancelled() => return Err(ErrorData::internal_error("cancelled by the client", None)),
        };
        Ok(result_of(answer).into())
    }
}

fn result_of(answer: Result<serde_json::Value, super::ToolError>) -> CallToolResult {
    match answer {
        Ok(value) => CallToolResult::structured(value),
        Err(error) => CallToolResult::structured_error(error.to_value()),
    }
}
