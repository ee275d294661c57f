//! Go templates as charts and injection templates write them: the template language is a library's, the functions that
//! Helm and its users expect (`toYaml`, `default`, `indent` and their like) are here. Pure: text and values in, text out.
