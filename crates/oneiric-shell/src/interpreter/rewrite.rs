//! Statements that name objects, in the words that the interpreter knows: `repos['a']` becomes `repos__at('a')` and
//! `repos` becomes `repos__all()`. A call `repos()` stays, and so does a name that the user has given a meaning.

use std::collections::BTreeSet;

use starlark::syntax::AstModule;
use starlark_syntax::syntax::ast::{
    AssignTargetP, AstExprP, AstNoPayload, AstParameterP, ClauseP, ExprP, ForClauseP, StmtP,
};
use starlark_syntax::syntax::uniplate::Visit;

/// After a name that stands for everything.
pub(super) const ALL: &str = "__all";
/// After a name of which one entry is wanted.
pub(super) const AT: &str = "__at";

/// Characters that were put into a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Change {
    line: usize,
    /// Column in characters before which they stand, in the text as it was typed.
    column: usize,
    count: usize,
}

/// The statement with its objects replaced, and what was put in; nothing when there is nothing to replace.
pub(super) fn rewrite(text: &str, ast: &AstModule, objects: &[&str]) -> Option<(String, Vec<Change>)> {
    let mut found = Found { text, objects, bound: BTreeSet::new(), edits: Vec::new() };
    found.visit(&Visit::Stmt(ast.statement()));
    let mut edits = found.edits;
    edits.retain(|edit| !found.bound.contains(edit.name));
    if edits.is_empty() {
        return None;
    }
    edits.sort_by_key(|edit| edit.end);
    let mut bytes = text.to_owned();
    let changes = edits.iter().map(|edit| {
        let before = &text[..edit.end];
        Change {
            line: before.matches('\n').count(),
            column: before.rsplit('\n').next().unwrap_or_default().chars().count(),
            count: edit.insert.len(),
        }
    });
    let changes = changes.collect();
    for (open, close) in edits.iter().filter_map(|edit| edit.brackets) {
        bytes.replace_range(open..=open, "(");
        bytes.replace_range(close..=close, ")");
    }
    for edit in edits.iter().rev() {
        bytes.insert_str(edit.end, edit.insert);
    }
    Some((bytes, changes))
}

/// The column as typed of a column in the rewritten line.
pub(super) fn typed_column(changes: &[Change], line: usize, column: usize) -> usize {
    let mut extra = 0;
    for change in changes.iter().filter(|change| change.line == line) {
        let begin = change.column + extra;
        if column >= begin + change.count {
            extra += change.count;
        } else if column > begin {
            return change.column;
        }
    }
    column - extra
}

struct Edit<'t> {
    name: &'t str,
    /// Byte after the name.
    end: usize,
    insert: &'static str,
    /// Bytes of the brackets of an index.
    brackets: Option<(usize, usize)>,
}

struct Found<'t> {
    text: &'t str,
    objects: &'t [&'t str],
    /// Names that the statement itself gives a meaning.
    bound: BTreeSet<String>,
    edits: Vec<Edit<'t>>,
}

impl<'t> Found<'t> {
    fn visit(&mut self, node: &Visit<'_, AstNoPayload>) {
        match node {
            Visit::Stmt(statement) => {
                match &statement.node {
                    StmtP::Assign(assign) => self.target(&assign.lhs.node),
                    StmtP::AssignModify(target, ..) => self.target(&target.node),
                    StmtP::For(each) => self.target(&each.var.node),
                    StmtP::Def(def) => {
                        self.bound.insert(def.name.node.ident.clone());
                        self.parameters(&def.params);
                    }
                    _ => {}
                }
                node.visit_children(|child| self.visit(&child));
            }
            Visit::Expr(expression) => self.expression(expression),
        }
    }

    fn expression(&mut self, expression: &AstExprP<AstNoPayload>) {
        let begin = expression.span.begin().get() as usize;
        let end = expression.span.end().get() as usize;
        match &expression.node {
            // Only names may stand in a format string.
            ExprP::FString(_) => return,
            ExprP::Call(called, arguments) => {
                if !matches!(called.node, ExprP::Identifier(_)) {
                    self.expression(called);
                }
                arguments.args.iter().for_each(|argument| self.expression(argument.expr()));
                return;
            }
            ExprP::Index(index) => {
                let (of, key) = &**index;
                if let Some(name) = self.object(of) {
                    let after = of.span.end().get() as usize;
                    let gap = self.text[after..].len() - self.text[after..].trim_start().len();
                    let close = end.saturating_sub(1);
                    if self.text[after + gap..].starts_with('[') && self.text[..end].ends_with(']') {
                        self.edits.push(Edit { name, end: after, insert: AT, brackets: Some((after + gap, close)) });
                        self.expression(key);
                        return;
                    }
                }
            }
            ExprP::Identifier(_) => {
                if let Some(name) = self.object(expression) {
                    debug_assert_eq!(end - begin, name.len());
                    self.edits.push(Edit { name, end, insert: "__all()", brackets: None });
                }
                return;
            }
            ExprP::Lambda(lambda) => self.parameters(&lambda.params),
            ExprP::ListComprehension(_, first, clauses) | ExprP::DictComprehension(_, first, clauses) => {
                self.clauses(first, clauses);
            }
            _ => {}
        }
        expression.node.visit_expr(|child| self.expression(child));
    }

    fn object(&self, expression: &AstExprP<AstNoPayload>) -> Option<&'t str> {
        let ExprP::Identifier(name) = &expression.node else { return None };
        self.objects.iter().find(|known| **known == name.node.ident).copied()
    }

    fn target(&mut self, target: &AssignTargetP<AstNoPayload>) {
        match target {
            AssignTargetP::Tuple(parts) => parts.iter().for_each(|part| self.target(&part.node)),
            AssignTargetP::Identifier(name) => {
                self.bound.insert(name.node.ident.clone());
            }
            AssignTargetP::Index(_) | AssignTargetP::Dot(..) => {}
        }
    }

    fn parameters(&mut self, parameters: &[AstParameterP<AstNoPayload>]) {
        for parameter in parameters {
            if let Some(name) = parameter.node.split().0 {
                self.bound.insert(name.node.ident.clone());
            }
        }
    }

    fn clauses(&mut self, first: &ForClauseP<AstNoPayload>, clauses: &[ClauseP<AstNoPayload>]) {
        self.target(&first.var.node);
        for clause in clauses {
            if let ClauseP::For(each) = clause {
                self.target(&each.var.node);
            }
        }
    }
}
