//! The project as the rest of lighter sees it.
use std::collections::BTreeMap;
use std::path::PathBuf;

use crate::diagnostic::Diagnostics;
use crate::environment::Environment;
use crate::load::Request;
use crate::yaml::{Mapping, Node, Sources};

/// A loaded project.
#[derive(Clone, Debug)]
pub struct Project {
    /// Its name.
    pub name: String,
    /// Where relative paths start.
    pub directory: PathBuf,
    /// The files it was read from.
    pub files: Vec<PathBuf>,
    /// Variables that interpolation saw.
    pub environment: Environment,
    /// The canonical tree.
    pub tree: Node,
    /// Services whose profiles are not active.
    pub disabled: Mapping,
    /// The files, for positions.
    pub sources: Sources,
    /// What was odd.
    pub warnings: Diagnostics,
}

pub(crate) fn project(
    name: String,
    tree: Node,
    disabled: Mapping,
    request: &Request,
    environment: &Environment,
) -> Project {
    let _: BTreeMap<(), ()> = BTreeMap::new();
    Project {
        name,
        directory: request.directory.clone(),
        files: request.files.clone(),
        environment: environment.clone(),
        tree,
        disabled,
        sources: Sources::default(),
        warnings: Diagnostics::default(),
    }
}
