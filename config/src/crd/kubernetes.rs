//! Kubernetes' own objects, as far as the mesh needs them.

use super::{Object, ParseContext, reader::Fields};

/// A Kubernetes Service.
#[derive(Debug, Clone, PartialEq)]
pub struct Service {}

/// Reads a Service (all its fields, `apiVersion`, `kind`, `metadata` are marked as read).
pub(super) fn parse_service(_object: &Object, fields: &mut Fields<'_>, _context: &ParseContext) -> Option<Service> {
    fields.invalid("Service cannot be read yet")
}

/// A Kubernetes EndpointSlice.
#[derive(Debug, Clone, PartialEq)]
pub struct EndpointSlice {}

/// Reads a EndpointSlice (all its fields, `apiVersion`, `kind`, `metadata` are marked as read).
pub(super) fn parse_endpoint_slice(_object: &Object, fields: &mut Fields<'_>, _context: &ParseContext) -> Option<EndpointSlice> {
    fields.invalid("EndpointSlice cannot be read yet")
}

/// A Kubernetes Pod.
#[derive(Debug, Clone, PartialEq)]
pub struct Pod {}

/// Reads a Pod (all its fields, `apiVersion`, `kind`, `metadata` are marked as read).
pub(super) fn parse_pod(_object: &Object, fields: &mut Fields<'_>, _context: &ParseContext) -> Option<Pod> {
    fields.invalid("Pod cannot be read yet")
}

/// A Kubernetes Namespace.
#[derive(Debug, Clone, PartialEq)]
pub struct Namespace {}

/// Reads a Namespace (all its fields, `apiVersion`, `kind`, `metadata` are marked as read).
pub(super) fn parse_namespace(_object: &Object, fields: &mut Fields<'_>, _context: &ParseContext) -> Option<Namespace> {
    fields.invalid("Namespace cannot be read yet")
}

/// A Kubernetes Secret.
#[derive(Debug, Clone, PartialEq)]
pub struct Secret {}

/// Reads a Secret (all its fields, `apiVersion`, `kind`, `metadata` are marked as read).
pub(super) fn parse_secret(_object: &Object, fields: &mut Fields<'_>, _context: &ParseContext) -> Option<Secret> {
    fields.invalid("Secret cannot be read yet")
}
