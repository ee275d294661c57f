//! Ports of a pod that are the proxy's own.

/// None of these is an application's: the proxy answers there, captures there, or hands names there.
pub const OF_THE_PROXY: [u16; 9] = [15000, 15001, 15004, 15006, 15008, 15020, 15021, 15053, 15090];
