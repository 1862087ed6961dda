"""Stations: observations between cells.

observations  tables of stations as observations of a model, and their error
held_out      scores at held-out stations, without any truth
gridding      fields from stations alone, scored at held-out stations, with the spread that their errors imply
kriging       the prediction of these fields: a climatology of the station, kriging of its anomalies
own_units     the choice of their quantities, and mapped variables in own units
"""
