"""Stations: observations between cells.

observations  tables of stations as observations of a model, and their error
held_out      scores at held-out stations, without any truth
verification  scores of gridded forecasts at stations
gridding      fields from stations alone, scored at held-out stations, with the spread that their errors imply
kriging       the prediction of these fields: a climatology of the station, kriging of its anomalies
covariance    its parameters as users of kriging know them, and the empirical variogram
surfaces      quantities of stations, kriged to other locations, with a drift in elevation
elevation     heights of gauges and cells, and the cells, land or sea, that get values
suspects      gauges in another unit than their neighbours, gauges in one place
tracks        fields from readings along tracks, scored at held-out passes
own_units     the choice of their quantities, and mapped variables in own units
"""
