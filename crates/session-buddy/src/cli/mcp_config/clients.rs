//! The clients that an entry can be written for: where their files are, and what an entry looks like there.

use std::path::{Path, PathBuf};

use clap::ValueEnum;
use oneiric::settings::Surroundings;
use serde_json::{Map, Value, json};

/// A client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Client {
    /// Claude Code
    ClaudeCode,
    /// Claude Desktop
    ClaudeDesktop,
    /// Codex
    Codex,
    /// Cursor
    Cursor,
    /// Visual Studio Code
    Vscode,
    /// Windsurf
    Windsurf,
    /// Zed
    Zed,
    /// Gemini CLI
    Gemini,
    /// opencode
    Opencode,
}

/// Whose entry it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(super) enum Scope {
    /// For all your work
    #[default]
    User,
    /// For the project in this directory
    Project,
}

/// How the client reaches the server.
#[derive(Clone, Debug)]
pub(super) enum Reach {
    /// It starts the program.
    Stdio {
        /// The program.
        command: String,
        /// Variables that it needs.
        env: Map<String, Value>,
    },
    /// It calls a running server.
    Http {
        /// Its endpoint.
        url: String,
        /// Whether it asks for a token.
        token: bool,
    },
}

/// Variable that holds the token; the token itself is never written.
const TOKEN_VARIABLE: &str = "SESSION_BUDDY_TOKEN";

/// Arguments by which a client starts the server.
pub(super) const ARGUMENTS: [&str; 3] = ["start", "--mode=standard", "--mcp"];

impl Client {
    /// Whether its file is TOML.
    pub(super) fn is_toml(self) -> bool {
        self == Self::Codex
    }

    /// Its file. `None` when it has none of that scope.
    pub(super) fn file(self, scope: Scope, surroundings: &Surroundings) -> Option<PathBuf> {
        let (home, cwd) = (&surroundings.user_home, &surroundings.cwd);
        let folder = |name: &str, otherwise: &str| match surroundings.vars.get(name).filter(|path| !path.is_empty()) {
            Some(path) => cwd.join(path),
            None => home.join(otherwise),
        };
        let apps = || application_folder(home, || folder("XDG_CONFIG_HOME", ".config"));
        Some(match (self, scope) {
            (Self::ClaudeCode, Scope::User) => {
                match surroundings.vars.get("CLAUDE_CONFIG_DIR").filter(|path| !path.is_empty()) {
                    Some(path) => cwd.join(path).join(".claude.json"),
                    None => home.join(".claude.json"),
                }
            }
            (Self::ClaudeCode, Scope::Project) => cwd.join(".mcp.json"),
            (Self::ClaudeDesktop, Scope::User) => apps().join("Claude/claude_desktop_config.json"),
            (Self::Codex, Scope::User) => folder("CODEX_HOME", ".codex").join("config.toml"),
            (Self::Codex, Scope::Project) => cwd.join(".codex/config.toml"),
            (Self::Cursor, Scope::User) => home.join(".cursor/mcp.json"),
            (Self::Cursor, Scope::Project) => cwd.join(".cursor/mcp.json"),
            (Self::Vscode, Scope::User) => apps().join("Code/User/mcp.json"),
            (Self::Vscode, Scope::Project) => cwd.join(".vscode/mcp.json"),
            (Self::Windsurf, Scope::User) => home.join(".codeium/windsurf/mcp_config.json"),
            (Self::Zed, Scope::User) => folder("XDG_CONFIG_HOME", ".config").join("zed/settings.json"),
            (Self::Zed, Scope::Project) => cwd.join(".zed/settings.json"),
            (Self::Gemini, Scope::User) => home.join(".gemini/settings.json"),
            (Self::Gemini, Scope::Project) => cwd.join(".gemini/settings.json"),
            (Self::Opencode, Scope::User) => either(&folder("XDG_CONFIG_HOME", ".config").join("opencode")),
            (Self::Opencode, Scope::Project) => either(cwd),
            (Self::ClaudeDesktop | Self::Windsurf, Scope::Project) => return None,
        })
    }

    /// Key of its servers.
    pub(super) const fn key(self) -> &'static str {
        match self {
            Self::Codex => "mcp_servers",
            Self::Vscode => "servers",
            Self::Zed => "context_servers",
            Self::Opencode => "mcp",
            _ => "mcpServers",
        }
    }

    /// The entry. `None` when it cannot reach a server that way.
    pub(super) fn entry(self, reach: &Reach) -> Option<Value> {
        Some(match reach {
            Reach::Stdio { command, env } => self.starting(command, env),
            Reach::Http { .. } if self == Self::ClaudeDesktop => return None,
            Reach::Http { url, token } => self.calling(url, *token),
        })
    }

    fn starting(self, command: &str, env: &Map<String, Value>) -> Value {
        let mut entry = match self {
            Self::ClaudeCode | Self::Vscode => json!({ "type": "stdio", "command": command, "args": ARGUMENTS }),
            Self::Opencode => {
                let line: Vec<&str> = std::iter::once(command).chain(ARGUMENTS).collect();
                json!({ "type": "local", "command": line, "enabled": true })
            }
            _ => json!({ "command": command, "args": ARGUMENTS }),
        };
        if !env.is_empty() {
            let key = if self == Self::Opencode { "environment" } else { "env" };
            entry[key] = env.clone().into();
        }
        entry
    }

    fn calling(self, url: &str, token: bool) -> Value {
        let mut entry = match self {
            Self::ClaudeCode | Self::Vscode => json!({ "type": "http", "url": url }),
            Self::Windsurf => json!({ "serverUrl": url }),
            Self::Gemini => json!({ "httpUrl": url }),
            Self::Opencode => json!({ "type": "remote", "url": url, "enabled": true }),
            _ => json!({ "url": url }),
        };
        if !token {
            return entry;
        }
        // Each client has its own way to name a variable.
        let named = match self {
            Self::Codex => {
                entry["bearer_token_env_var"] = TOKEN_VARIABLE.into();
                return entry;
            }
            Self::ClaudeCode => format!("${{{TOKEN_VARIABLE}}}"),
            Self::Gemini => format!("${TOKEN_VARIABLE}"),
            Self::Opencode => format!("{{env:{TOKEN_VARIABLE}}}"),
            _ => format!("${{env:{TOKEN_VARIABLE}}}"),
        };
        entry["headers"] = json!({ "Authorization": format!("Bearer {named}") });
        entry
    }
}

/// Where programs with windows keep their settings.
fn application_folder(home: &Path, otherwise: impl FnOnce() -> PathBuf) -> PathBuf {
    if cfg!(target_os = "macos") { home.join("Library/Application Support") } else { otherwise() }
}

/// opencode reads either name.
fn either(folder: &Path) -> PathBuf {
    let commented = folder.join("opencode.jsonc");
    if commented.exists() { commented } else { folder.join("opencode.json") }
}
