use std::sync::Arc;

use anyhow::bail;

use super::{DocumentSpec, Hook, Reads, TimingRequest, documents, generation::Generation, timing};

/// What the plugins of a host say together, found to be without contradiction.
pub(super) struct Agreement {
    /// What they ask of the packager.
    pub(super) timing: TimingRequest,
    /// All documents. No two have the same address.
    pub(super) documents: Arc<[DocumentSpec]>,
    /// For each of `documents`, which plugin writes it.
    writers: Vec<usize>,
    /// Which plugin names objects, if any does.
    pub(super) namer: Option<usize>,
    /// What each of the plugins looks at that all have to let a viewer in.
    pub(super) reads: Arc<[Reads]>,
    /// For each of `reads`, which plugin it is.
    pub(super) guards: Vec<usize>,
}

impl Agreement {
    /// Of these plugins, in order. An error names the two that contradict each other.
    pub(super) fn of(plugins: &[&Generation]) -> anyhow::Result<Self> {
        for (index, plugin) in plugins.iter().enumerate() {
            if plugins[..index].iter().any(|p| p.name == plugin.name) {
                bail!("plugin `{}` is loaded twice; once is enough", plugin.name);
            }
        }
        let timing = timing::merge(
            plugins
                .iter()
                .map(|plugin| (&*plugin.name, plugin.facts.timing)),
        )
        .map_err(anyhow::Error::msg)?;
        let mut merged: Vec<DocumentSpec> = Vec::new();
        let mut writers: Vec<usize> = Vec::new();
        for (index, plugin) in plugins.iter().enumerate() {
            for document in &plugin.facts.documents {
                let taken = merged
                    .iter()
                    .position(|other| documents::same_address(other, document));
                if let Some(taken) = taken {
                    bail!(
                        "plugins {} and {} both write `{}`; load one of them, or configure one to write another name",
                        plugins[writers[taken]].name,
                        plugin.name,
                        document.path
                    );
                }
                merged.push(document.clone());
                writers.push(index);
            }
        }
        let mut namers = (0..plugins.len()).filter(|&index| plugins[index].has(Hook::Naming));
        let namer = namers.next();
        if let (Some(one), Some(other)) = (namer, namers.next()) {
            bail!(
                "plugins {} and {} both name media objects, and each object has one name; load one of them",
                plugins[one].name,
                plugins[other].name
            );
        }
        if let Some(namer) = namer.map(|namer| plugins[namer])
            && let Some(index) = merged.iter().position(DocumentSpec::is_mpd)
            && !namer.has_segment_template()
        {
            bail!(
                "plugin {} writes DASH (`{}`), which wants the names of all segments as one template, and those that plugin \
                 {namer} gives are none; load one of them, or configure {namer} so that nothing but the number differs",
                plugins[writers[index]].name,
                merged[index].path,
                namer = namer.name,
            );
        }
        Ok(Self {
            timing,
            documents: merged.into(),
            writers,
            namer,
            reads: plugins
                .iter()
                .filter_map(|plugin| plugin.facts.reads.clone())
                .collect(),
            guards: (0..plugins.len())
                .filter(|&index| plugins[index].facts.reads.is_some())
                .collect(),
        })
    }

    /// For each of `documents`, which plugin writes it.
    pub(super) fn writers(&self) -> impl Iterator<Item = usize> {
        self.writers.iter().copied()
    }

    /// Which plugin writes a document.
    pub(super) fn writer(&self, document: &DocumentSpec) -> Option<usize> {
        let index = self
            .documents
            .iter()
            .position(|known| documents::same_address(known, document))?;
        Some(self.writers[index])
    }
}
