"""Admission of pods over HTTPS, for clusters without MutatingAdmissionPolicy v1: server, certificates, their keeper."""
