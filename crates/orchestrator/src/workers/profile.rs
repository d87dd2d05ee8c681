//! Profiles: by which command a kind of worker does a task, and how its answer is read.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use oneiric::fault::{Fault, Result};
use oneiric::paths::Home;
use oneiric::settings::read_trusted;
use serde::{Deserialize, Serialize};

use super::agents::agents;
use super::answer::AnswerSpec;

/// Where a prompt stands in a command line, and where a budget does.
const PROMPT: &str = "{prompt}";
const USD: &str = "{usd}";
/// Longest argument that the kernel takes.
const MAX_ARGUMENT: usize = 128 * 1024 - 1;

/// How a prompt reaches the command.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PromptBy {
    /// In place of the argument `{prompt}`, or of that part of an argument; else as the last one.
    #[default]
    Argument,
    /// On its standard input.
    Stdin,
}

/// A kind of worker.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Profile {
    /// What it is for, in a sentence.
    pub about: String,
    /// The built-in profile that it is like but for what is said here.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub like: Option<String>,
    /// Further words of that one's command line.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub options: Vec<String>,
    /// Program first.
    pub command: Vec<String>,
    /// How the prompt reaches it.
    pub prompt: PromptBy,
    /// Further arguments for a task that has a budget in US dollars, which stands for `{usd}`: for programs that keep to it
    /// themselves.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub budget: Vec<String>,
    /// Whether it runs on a terminal.
    pub terminal: bool,
    /// Variables beside the inherited ones.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub env: BTreeMap<String, String>,
    /// How its answer is read.
    pub answer: AnswerSpec,
    /// Most that one task may cost, in US dollars.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_usd: Option<f64>,
    /// Most tokens of one task.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_tokens: Option<u64>,
    /// Longest time of one task in seconds, when it does not say otherwise.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeout: Option<f64>,
}

impl Profile {
    /// The command line for a prompt, with a budget in US dollars if there is one.
    ///
    /// # Errors
    /// When the prompt is too long for an argument or holds a NUL.
    pub fn argv(&self, prompt: &str, usd: Option<f64>) -> Result<Vec<String>, String> {
        let mut command = self.command.clone();
        if let Some(usd) = usd {
            command.extend(self.budget.iter().map(|word| word.replace(USD, &usd.to_string())));
        }
        if self.prompt == PromptBy::Stdin {
            return Ok(command);
        }
        if prompt.len() > MAX_ARGUMENT {
            return Err(format!("a prompt of {} bytes is too long for an argument", prompt.len()));
        }
        if prompt.contains('\0') {
            return Err("an argument cannot hold a NUL character".to_owned());
        }
        let mut argv: Vec<String> = command.iter().map(|word| word.replace(PROMPT, prompt)).collect();
        if !self.command.iter().any(|word| word.contains(PROMPT)) {
            argv.push(prompt.to_owned());
        }
        Ok(argv)
    }

    /// Whether its tasks are command lines of a shell, and not prompts.
    #[must_use]
    pub fn takes_command_lines(&self) -> bool {
        let shell = |program: &str| {
            let name = Path::new(program).file_name().and_then(OsStr::to_str);
            matches!(name, Some("sh" | "bash" | "dash" | "ash" | "zsh" | "ksh" | "fish"))
        };
        let [program, .., flag, prompt] = self.command.as_slice() else { return false };
        shell(program) && flag.starts_with('-') && flag.ends_with('c') && prompt == PROMPT
    }

    /// The base with what is said here.
    ///
    /// # Errors
    /// What cannot be said here.
    fn over(self, base: &Self) -> Result<Self, &'static str> {
        if !self.command.is_empty() {
            return Err("a command");
        }
        if self.answer != AnswerSpec::default() || self.prompt != PromptBy::default() || self.terminal {
            return Err("a way of asking or answering");
        }
        let mut command = base.command.clone();
        command.extend(self.options.iter().cloned());
        let mut env = base.env.clone();
        env.extend(self.env);
        let about = if self.about.is_empty() { base.about.clone() } else { self.about };
        let (max_usd, max_tokens) = (self.max_usd.or(base.max_usd), self.max_tokens.or(base.max_tokens));
        let timeout = self.timeout.or(base.timeout);
        let (like, options) = (self.like, self.options);
        Ok(Self { about, like, options, command, env, max_usd, max_tokens, timeout, ..base.clone() })
    }

    /// Where its program is.
    ///
    /// # Errors
    /// What is missing, in words.
    pub fn program(&self, path: &OsStr) -> Result<PathBuf, String> {
        let name = self.command.first().map_or("", String::as_str);
        find_program(name, path).ok_or_else(|| format!("no program {name}"))
    }
}

/// The program of this name on a search path.
pub(super) fn find_program(name: &str, path: &OsStr) -> Option<PathBuf> {
    let runs = |path: &Path| {
        std::fs::metadata(path).is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
    };
    if name.is_empty() {
        return None;
    }
    if name.contains('/') {
        return Some(PathBuf::from(name)).filter(|path| runs(path));
    }
    std::env::split_paths(path).map(|dir| dir.join(name)).find(|path| path.is_absolute() && runs(path))
}

/// The profiles that there are, by name.
#[derive(Clone, Debug, PartialEq)]
pub struct Profiles {
    all: BTreeMap<String, (Profile, bool)>,
}

impl Profiles {
    /// Those that every installation has.
    #[must_use]
    pub fn built_in() -> Self {
        let shell = Profile {
            about: "a command line of the shell".into(),
            command: ["sh", "-c", PROMPT].map(str::to_owned).into(),
            ..Profile::default()
        };
        let terminal = Profile {
            about: "a command line of the shell, on a terminal (tmux when there is one)".into(),
            terminal: true,
            ..shell.clone()
        };
        let all = [("shell", shell), ("terminal", terminal)].into_iter().chain(agents());
        Self { all: all.map(|(name, profile)| (name.to_owned(), (profile, true))).collect() }
    }

    /// The file in which own profiles are written down.
    #[must_use]
    pub fn file(home: &Home) -> PathBuf {
        home.root().join("workers.yaml")
    }

    /// The built-in ones and those of `workers.yaml` in the home, which come first.
    ///
    /// # Errors
    /// Configuration, when the file is wrong or others could have written it.
    pub fn load(home: &Home) -> Result<Self> {
        let file = Self::file(home);
        let shown = file.display().to_string();
        let mut profiles = Self::built_in();
        if let Some(text) = read_trusted(&file, &shown)? {
            profiles.add(&text, &shown)?;
        }
        Ok(profiles)
    }

    fn add(&mut self, text: &str, shown: &str) -> Result<()> {
        let own: Option<BTreeMap<String, Profile>> = serde_saphyr::from_str(text).map_err(|error| {
            let line = error.location().map_or(0, |location| location.line());
            let what = error.without_snippet().to_string();
            let what = what.lines().next().unwrap_or("it is no YAML").to_owned();
            Fault::config(format!("{shown}:{line}: {what}"))
                .hint("a profile takes about, like, options[], command[], prompt, budget[], terminal, env, answer, max_usd, max_tokens, timeout")
        })?;
        for (name, profile) in own.unwrap_or_default() {
            let profile = match profile.like.clone() {
                Some(base) => profile.over(Self::built_in().find(&base)?).map_err(|what| {
                    Fault::config(format!("{shown}: profile {name} is like {base} and has {what} of its own"))
                        .hint("give options: what is added to the command line")
                })?,
                None => profile,
            };
            if profile.command.is_empty() {
                return Err(Fault::config(format!("{shown}: profile {name} has no command"))
                    .hint("write 'command: [program, argument, \"{prompt}\"]'"));
            }
            self.all.insert(name, (profile, false));
        }
        Ok(())
    }

    /// The profile of this name.
    ///
    /// # Errors
    /// Not found, with the names that there are.
    pub fn find(&self, name: &str) -> Result<&Profile> {
        self.all.get(name).map(|(profile, _)| profile).ok_or_else(|| {
            let names: Vec<&str> = self.all.keys().map(String::as_str).collect();
            Fault::not_found(format!("no profile of workers '{}'", name.escape_debug()))
                .hint(format!("there are: {}", names.join(", ")))
        })
    }

    /// All of them: name, profile, and whether it is built in.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Profile, bool)> {
        self.all.iter().map(|(name, (profile, built_in))| (name.as_str(), profile, *built_in))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn own_profiles_come_beside_and_before_the_built_in_ones() {
        let mut profiles = Profiles::built_in();
        let text = "fixer:\n  command: [fixer, --ask, 'Q: {prompt}']\n  max_usd: 0.5\nclaude:\n  command: [my-claude]\n  prompt: stdin\n";
        profiles.add(text, "workers.yaml").unwrap();
        assert_eq!(profiles.find("fixer").unwrap().argv("why?", None).unwrap(), ["fixer", "--ask", "Q: why?"]);
        assert_eq!(profiles.find("claude").unwrap().argv("x", None).unwrap(), ["my-claude"]);
        assert_eq!(profiles.find("shell").unwrap().argv("ls *", None).unwrap(), ["sh", "-c", "ls *"]);
        assert!(profiles.find("nobody").unwrap_err().advice().unwrap().contains("fixer"));
    }

    #[test]
    fn a_profile_may_be_like_a_built_in_one_with_further_options() {
        let mut profiles = Profiles::built_in();
        let text = "fixer:\n  like: claude\n  options: [--permission-mode, acceptEdits]\n  max_usd: 0.5\n";
        profiles.add(text, "workers.yaml").unwrap();
        let (fixer, claude) = (profiles.find("fixer").unwrap(), profiles.find("claude").unwrap());
        assert!(fixer.command.starts_with(&claude.command) && fixer.command.ends_with(&["acceptEdits".to_owned()]));
        assert_eq!((&fixer.answer, fixer.prompt, fixer.max_usd), (&claude.answer, PromptBy::Stdin, Some(0.5)));
        assert!(fixer.argv("x", Some(0.25)).unwrap().ends_with(&["--max-budget-usd".to_owned(), "0.25".to_owned()]));
        let twice = profiles.add("x: {like: claude, command: [y]}\n", "workers.yaml").unwrap_err();
        assert!(twice.message().contains("is like claude and has a command of its own"), "{twice:?}");
        assert!(profiles.add("x: {like: nobody}\n", "workers.yaml").is_err());
    }

    #[test]
    fn what_is_wrong_in_the_file_is_named_with_its_line() {
        let mut profiles = Profiles::built_in();
        let wrong = profiles.add("fixer:\n  command: [x]\n  comand: [y]\n", "workers.yaml").unwrap_err();
        assert!(wrong.message().starts_with("workers.yaml:3"), "{wrong:?}");
        let empty = profiles.add("fixer: {}\n", "workers.yaml").unwrap_err();
        assert!(empty.message().contains("no command"));
        assert!(profiles.add("", "workers.yaml").is_ok());
    }

    #[test]
    fn prompts_that_no_argument_can_hold_are_refused() {
        let profiles = Profiles::built_in();
        assert!(profiles.find("shell").unwrap().argv(&"x".repeat(200_000), None).is_err());
        assert!(profiles.find("shell").unwrap().argv("a\0b", None).is_err());
        assert!(profiles.find("claude").unwrap().argv(&"x".repeat(200_000), None).is_ok());
    }

    #[test]
    fn shells_take_command_lines_and_agents_do_not() {
        let profiles = Profiles::built_in();
        let takes = |name: &str| profiles.find(name).unwrap().takes_command_lines();
        assert!(takes("shell") && takes("terminal"));
        assert!(!["claude", "codex", "gemini", "qwen"].into_iter().any(takes));
        let own = |words: &[&str]| Profile {
            command: words.iter().map(|word| (*word).into()).collect(),
            ..Profile::default()
        };
        assert!(own(&["/bin/bash", "-l", "-c", "{prompt}"]).takes_command_lines());
        assert!(
            !own(&["bash", "{prompt}"]).takes_command_lines()
                && !own(&["agent", "-c", "{prompt}"]).takes_command_lines()
        );
    }

    #[test]
    fn a_program_that_is_not_there_makes_its_profile_unavailable() {
        let own = Profile { command: vec!["no-such-program".into()], ..Profile::default() };
        assert_eq!(own.program(OsStr::new("/usr/bin:/bin")).unwrap_err(), "no program no-such-program");
        assert!(Profiles::built_in().find("shell").unwrap().program(OsStr::new("/usr/bin:/bin")).is_ok());
    }
}
