"""The stage `assimilation`: a cycle of forecasts and updates over the stored observations."""
