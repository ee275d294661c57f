//! Tags: further names of revisions.

use clap::{Args, Subcommand};

/// `tag`.
#[derive(Debug, Subcommand)]
pub(crate) enum TagCommand {
    /// Makes a tag of a revision, or moves one to it with --overwrite.
    Set(TagArgs),
    /// The objects of a tag, as YAML. Writes nothing to the cluster.
    Generate(TagArgs),
    /// Tags, their revisions, and the namespaces that use them.
    #[command(visible_alias = "show")]
    List {
        /// Output format: table, json or yaml.
        #[arg(short, long, default_value = "table")]
        output: String,
    },
    /// Removes a tag.
    #[command(visible_alias = "delete")]
    Remove {
        /// The tag.
        tag: String,
        /// Do not ask, also where namespaces use it.
        #[arg(short = 'y', long = "skip-confirmation")]
        yes: bool,
    },
}

/// Which tag, and of what.
#[derive(Debug, Args)]
pub(crate) struct TagArgs {
    /// The tag. `default` serves namespaces with istio-injection=enabled, and objects without a revision.
    pub(crate) tag: String,
    /// The revision that it is a name of; `default` is the one without a name.
    #[arg(short, long)]
    pub(crate) revision: String,
    /// Move a tag that is there.
    #[arg(long)]
    pub(crate) overwrite: bool,
    /// Name of the MutatingWebhookConfiguration, where it is not istio-revision-tag-TAG.
    #[arg(long = "webhook-name", value_name = "NAME")]
    pub(crate) webhook_name: Option<String>,
    /// Inject in namespaces without a label too; for the tag `default`.
    #[arg(long = "auto-inject-namespaces")]
    pub(crate) auto_inject_namespaces: bool,
    /// Do not ask.
    #[arg(short = 'y', long = "skip-confirmation")]
    pub(crate) yes: bool,
}
