//! Statements that name objects, in the words that the interpreter knows: `repos['a']` becomes `repos__at('a')` and
//! `repos` becomes `repos__all()`. A call `repos()` stays, and so does a name that the user has given a meaning. Calls of
//! functions that gather go to what looks first ([`super::bounds`]): `list(x)` becomes `list__of(x)`, `x.join(y)`
//! becomes `join__by(x,     y)`, and `x *= y` becomes `x = x *( y)`, which is the same and an operator that can be replaced.

use std::borrow::Cow;
use std::collections::BTreeSet;

use starlark::syntax::AstModule;
use starlark_syntax::syntax::ast::{
    AssignOp, AssignTargetP, AstExprP, AstNoPayload, AstParameterP, ClauseP, ExprP, ForClauseP, StmtP,
};
use starlark_syntax::syntax::uniplate::Visit;

use super::bounds::{GATHER, MAKE, MAKERS};
use crate::entry::only_closed;

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
pub(super) fn rewrite(
    text: &str,
    ast: &AstModule,
    objects: &[&str],
    gatherers: &[&str],
) -> Option<(String, Vec<Change>)> {
    let mut found = Found { text, objects, gatherers, bound: BTreeSet::new(), edits: Vec::new() };
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
            count: edit.insert.chars().count(),
        }
    });
    let changes = changes.collect();
    for (at, instead) in edits.iter().flat_map(|edit| &edit.instead) {
        bytes.replace_range(*at..at + instead.len(), instead);
    }
    for edit in edits.iter().rev() {
        bytes.insert_str(edit.end, &edit.insert);
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
    /// What loses its meaning here when the statement gives it one.
    name: &'t str,
    /// Byte after the name.
    end: usize,
    insert: Cow<'static, str>,
    /// What is put over as many bytes of the text.
    instead: Vec<(usize, &'static str)>,
}

impl<'t> Edit<'t> {
    fn insert(name: &'t str, end: usize, insert: impl Into<Cow<'static, str>>) -> Self {
        Self { name, end, insert: insert.into(), instead: Vec::new() }
    }
}

struct Found<'t> {
    text: &'t str,
    objects: &'t [&'t str],
    gatherers: &'t [&'t str],
    /// Names that the statement itself gives a meaning.
    bound: BTreeSet<String>,
    edits: Vec<Edit<'t>>,
}

impl<'t> Found<'t> {
    fn visit(&mut self, node: &Visit<'_, AstNoPayload>) {
        match node {
            Visit::Stmt(statement) => {
                let mut closing = None;
                match &statement.node {
                    StmtP::Assign(assign) => self.target(&assign.lhs.node),
                    StmtP::AssignModify(target, operator, value) => {
                        self.target(&target.node);
                        let after = target.span.end().get() as usize;
                        let between = self.text.get(after..value.span.begin().get() as usize).unwrap_or_default();
                        if let (AssignTargetP::Identifier(name), AssignOp::Multiply | AssignOp::Percent) =
                            (&target.node, operator)
                            && let Some(equals) = between.find('=')
                        {
                            let insert = format!("= {} ", name.node.ident);
                            let instead = vec![(after + equals, "(")];
                            self.edits.push(Edit { instead, ..Edit::insert("", after + equals - 1, insert) });
                            closing = Some(Edit::insert("", statement.span.end().get() as usize, ")"));
                        }
                    }
                    StmtP::For(each) => self.target(&each.var.node),
                    StmtP::Def(def) => {
                        self.bound.insert(def.name.node.ident.clone());
                        self.parameters(&def.params);
                    }
                    _ => {}
                }
                node.visit_children(|child| self.visit(&child));
                // After what stands in front of it.
                self.edits.extend(closing);
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
                match &called.node {
                    ExprP::Identifier(name) => {
                        if let Some(name) = self.gatherers.iter().find(|known| **known == name.node.ident) {
                            let end = called.span.end().get() as usize;
                            self.edits.push(Edit::insert(name, end, GATHER));
                        }
                    }
                    _ => {
                        self.method(begin, called);
                        self.expression(called);
                    }
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
                        let instead = vec![(after + gap, "("), (close, ")")];
                        self.edits.push(Edit { instead, ..Edit::insert(name, after, AT) });
                        self.expression(key);
                        return;
                    }
                }
            }
            ExprP::Identifier(_) => {
                if let Some(name) = self.object(expression) {
                    debug_assert_eq!(end - begin, name.len());
                    self.edits.push(Edit::insert(name, end, "__all()"));
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

    /// A method that makes a longer text, called in an expression that begins at `begin`.
    fn method(&mut self, begin: usize, called: &AstExprP<AstNoPayload>) {
        let ExprP::Dot(of, name) = &called.node else { return };
        let Some(number) = MAKERS.iter().position(|known| *known == name.node) else { return };
        let after = of.span.end().get() as usize;
        let Some(dot) = self.text[after..].find('.').map(|dot| after + dot) else { return };
        let call = [".join(", ".replace(", ".format("][number];
        if !self.text[dot..].starts_with(call) {
            return;
        }
        // The brackets around a whole are no part of it.
        let mut begin = begin;
        for _ in 0..only_closed(&self.text[begin..dot]) {
            let before = self.text[..begin].trim_end();
            if !before.ends_with('(') {
                return;
            }
            begin = before.len() - 1;
        }
        let instead = [",     ", ",        ", ",       "][number];
        let insert = format!("{}{MAKE}(", MAKERS[number]);
        self.edits.push(Edit { instead: vec![(dot, instead)], ..Edit::insert("", begin, insert) });
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
